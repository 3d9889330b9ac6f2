"""Measuring a latency table on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from aebert.deployment.resizing import ResizableGraph, resizable
from aebert.deployment.session import Feed, OnnxModel
from aebert.errors import ConfigError
from aebert.latency.fit import designs, fit, random_models
from aebert.latency.table import LatencyTable, Measurement, TableShape
from aebert.latency.workload import FileForm, Workload
from aebert.models.families import family_of
from aebert.models.shape import ModelShape
from aebert.profiling.machine import machine_facts
from aebert.profiling.sampling import Meter, Samples, interleave
from aebert.progress import SILENT, Bar, Progress
from aebert.pruning.architecture import Architecture
from aebert.sections import digest

# Something that answers a request, for a model file and a number of threads.
Load = Callable[[Path, int], Callable[[Feed], object]]

# Bytes of files that are loaded at a time; sessions take about twice that, since they pack weights for their kernels.
_GROUP_BYTES = 1_500_000_000
_WARMUP = 2
_HELD_OUT_SEED = 1


@dataclass(frozen=True)
class TablePlan:
    """What to measure. runs: requests per model and workload. held_out: number of models to check predictions with."""

    form: FileForm
    workloads: tuple[Workload, ...]
    runs: int = 21
    held_out: int = 20

    def __post_init__(self) -> None:
        if not self.workloads or self.runs < 3 or self.held_out < 0:
            raise ConfigError(
                f"a latency table needs workloads and at least 3 runs, got {len(self.workloads)} and {self.runs}"
            )

    @property
    def digest(self) -> str:
        """Digest of the plan, in the words of version 0.2, whose studies must not measure their table again."""
        return digest(repr(self).replace("workloads=", "settings=").replace("Workload(", "Setting("))


@dataclass(frozen=True)
class _MeasuredModels:
    measurements: list[Measurement]
    rejected: int
    noisy: int


def measure_table(
    model: PreTrainedModel,
    input_names: Sequence[str],
    plan: TablePlan,
    *,
    per_channel: bool = True,
    opset: int = 20,
    load: Load | None = None,
    meter: Meter | None = None,
    progress: Progress = SILENT,
) -> LatencyTable:
    """The latency table of a model's sub-networks on this machine. Only the model's shape matters, not its weights.

    Whole models at full depth are measured, not single blocks: a block that is run in a loop stays in the cache, while
    a model's weights stream from memory (BERT-base int8 has 85 MB of them). The models take turns: all of them answer a
    request before the next one. So small models, too, find the cache filled by others, as they will beside other work;
    a file that is run alone is not slower. Costs of blocks are fitted to the medians.

    Raises: ConfigError for lengths that the model can't take; ExportError when it can't be exported.
    """
    _check_lengths(model, plan)
    started = time.perf_counter()
    load = load or (lambda path, threads: OnnxModel(path, threads).logits)
    with resizable(model, input_names, int8=plan.form == "int8", per_channel=per_channel, opset=opset) as graph:
        fitted = designs(graph.shape)
        held_out = random_models(graph.shape, plan.held_out, _HELD_OUT_SEED, fitted)
        timed = _measure(graph, _mixed(fitted, held_out), plan, (list(input_names), load, meter), progress)
        shape = graph.shape
    return make_table(
        plan.form,
        shape,
        timed.measurements,
        set(held_out),
        {
            "machine": machine_facts(),
            "seconds": time.perf_counter() - started,
            "rejected": timed.rejected,
            "noisy": timed.noisy,
        },
    )


def make_table(
    form: FileForm,
    shape: ModelShape,
    measurements: Sequence[Measurement],
    held_out: set[Architecture],
    facts: Mapping[str, Any],
) -> LatencyTable:
    """The table that fits measurements, workload by workload. Those of `held_out` models are only compared with it."""
    used = [each for each in measurements if each.architecture not in held_out]
    workloads = dict.fromkeys(each.workload for each in used)
    prices = {
        workload: fit({each.architecture: each.median_ms for each in used if each.workload == workload}, shape)
        for workload in workloads
    }
    others = tuple(each for each in measurements if each.architecture in held_out)
    return LatencyTable(
        form=form, shape=TableShape.of(shape), prices=prices, measured=tuple(used), held_out=others, **facts
    )


def _check_lengths(model: PreTrainedModel, plan: TablePlan) -> None:
    most = family_of(model.config).most_tokens(model.config)
    for workload in plan.workloads:
        if workload.length > most:
            raise ConfigError(f"length of a latency table must be at most the model's {most}, got {workload.length}")


def _mixed(first: Sequence[Architecture], second: Sequence[Architecture]) -> list[Architecture]:
    """Both, so that each group of models that is measured together has some of either."""
    every = list(dict.fromkeys([*first, *second]))
    return [every[index] for index in np.random.default_rng(0).permutation(len(every))]


def _measure(
    graph: ResizableGraph,
    architectures: Sequence[Architecture],
    plan: TablePlan,
    tools: tuple[Sequence[str], Load, Meter | None],
    progress: Progress,
) -> _MeasuredModels:
    found = _MeasuredModels([], 0, 0)
    names, load, meter = tools
    with tempfile.TemporaryDirectory(prefix="aebert-") as folder:
        title = f"measure {len(architectures)} models at {len(plan.workloads)} workloads"
        with progress.bar(title, len(architectures) * len(plan.workloads)) as bar:
            for files in _groups(graph, architectures, Path(folder)):
                found = _joined(found, _measure_group(files, plan, (names, load, meter), bar))
                for path in files.values():
                    path.unlink()
    return found


def _joined(first: _MeasuredModels, second: _MeasuredModels) -> _MeasuredModels:
    return _MeasuredModels(
        [*first.measurements, *second.measurements], first.rejected + second.rejected, first.noisy + second.noisy
    )


def _groups(
    graph: ResizableGraph, architectures: Sequence[Architecture], folder: Path
) -> Iterator[dict[Architecture, Path]]:
    """Files of the models, as many at a time as fit into memory."""
    files: dict[Architecture, Path] = {}
    for number, architecture in enumerate(architectures):
        files[architecture] = graph.write(architecture, folder / f"{number}.onnx")
        if sum(path.stat().st_size for path in files.values()) > _GROUP_BYTES:
            yield files
            files = {}
    if files:
        yield files


def _measure_group(
    files: Mapping[Architecture, Path],
    plan: TablePlan,
    tools: tuple[Sequence[str], Load, Meter | None],
    bar: Bar,
) -> _MeasuredModels:
    names, load, meter = tools
    found = _MeasuredModels([], 0, 0)
    for threads in sorted({workload.threads for workload in plan.workloads}):
        models = {str(number): load(path, threads) for number, path in enumerate(files.values())}
        for workload in (each for each in plan.workloads if each.threads == threads):
            requests = [_request(names, workload)]
            samples = interleave(models, requests, [0] * plan.runs, warmup=[0] * _WARMUP, meter=meter)
            found = _joined(found, _MeasuredModels(_medians(files, workload, samples), samples.rejected, samples.noisy))
            bar.advance(len(files), str(workload))
    return found


def _request(names: Sequence[str], workload: Workload) -> Feed:
    """Token ids that every model has, without padding."""
    shape = (workload.batch, workload.length)
    zeros = np.zeros(shape, dtype=np.int64)
    return {name: zeros if name == "token_type_ids" else np.ones_like(zeros) for name in names}


def _medians(files: Mapping[Architecture, Path], workload: Workload, samples: Samples) -> list[Measurement]:
    found = []
    for number, architecture in enumerate(files):
        times = samples.milliseconds[str(number)]
        p10, median, p90 = map(float, np.percentile(times, [10, 50, 90]))
        found.append(Measurement(workload, architecture, median, p10, p90, len(times)))
    return found


@dataclass(frozen=True)
class Confirmation:
    """Files measured at one workload. median_ms, p10_ms, p90_ms: by name. noisy: see `Samples`."""

    median_ms: Mapping[str, float]
    p10_ms: Mapping[str, float]
    p90_ms: Mapping[str, float]
    runs: int
    noisy: int


def measure_files(
    files: Mapping[str, Path], workload: Workload, *, runs: int, meter: Meter | None = None, progress: Progress = SILENT
) -> Confirmation:
    """What files take at a workload, measured in one interleaved run as the models of a table are."""
    loaded = {name: OnnxModel(path, workload.threads) for name, path in files.items()}
    names = next(iter(loaded.values())).inputs
    models = {name: model.logits for name, model in loaded.items()}
    request = _request(names, workload)
    samples = interleave(models, [request], [0] * runs, warmup=[0] * _WARMUP, meter=meter, progress=progress)
    parts = {name: np.percentile(ms, [10, 50, 90]) for name, ms in samples.milliseconds.items()}
    p10, median, p90 = ({name: float(part[place]) for name, part in parts.items()} for place in range(3))
    return Confirmation(median, p10, p90, runs, samples.noisy)

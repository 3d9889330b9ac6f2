"""Measure several models against each other, here or on another host, and say what their times mean."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import numpy as np
from scipy.stats import binom

from aebert.compare.archive import RUNNER
from aebert.compare.remote import Host, run_there
from aebert.compare.runner_output import Outcome, follow
from aebert.compare.ssh_errors import last_line
from aebert.compare.targets import Target
from aebert.errors import ConfigError, ExportError
from aebert.profiling.sampling import paired_ratios
from aebert.progress import SILENT, Progress

_TORCH_RUNNER = "aebert.compare.torch_runner"
_MODULES = {"onnx": RUNNER, "checkpoint": _TORCH_RUNNER}
_DRIFT = 0.1  # share of the time; a larger change between the two halves of a cell is a warning


@dataclass(frozen=True)
class Settings:
    """What is measured: every thread count × batch size × length in tokens, each with `runs` runs after a warm-up.

    vocabulary: number of token ids to draw from; None takes as many as the smallest embedding has.
    """

    lengths: tuple[int, ...] = (32, 128)
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    runs: int = 50
    warmup: int = 5
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        for name in ("lengths", "batches", "threads"):
            values = getattr(self, name)
            if not values or min(values) < 1 or len(set(values)) < len(values):
                raise ConfigError(
                    f"{name} must be different numbers from 1 on, got {','.join(map(str, values)) or 'none'}"
                )
        if self.runs < 1 or self.warmup < 0:
            raise ConfigError(f"runs must be at least 1 and warmup at least 0, got {self.runs} and {self.warmup}")

    @property
    def total_runs(self) -> int:
        """Number of timed runs of one target."""
        return len(self.lengths) * len(self.batches) * len(self.threads) * self.runs


@dataclass(frozen=True)
class Ratio:
    """How many times faster than the first target: the median of the paired ratios, and its 95 % interval.

    low, high: None with fewer than 6 runs, which are too few for such an interval.
    """

    median: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Condition:
    """One target at one thread count, batch size and length.

    p50_ms … mean_ms, std_ms (None with 1 run): of one request, tokenization not included. throughput_per_s: sequences,
    one request at a time. joules: mean of a request, over all processor packages; None where they don't count it.
    """

    target: str
    threads: int
    batch_size: int
    length: int
    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    std_ms: float | None
    throughput_per_s: float
    joules: float | None
    ratio: Ratio


@dataclass(frozen=True)
class Measured:
    """One target: its size, and what loading it and answering the largest request take in a separate process."""

    name: str
    form: str
    size_bytes: int
    load_ms: float
    peak_memory_bytes: int
    baseline_memory_bytes: int


@dataclass(frozen=True)
class Comparison:
    """A whole measurement. conditions: what the sensors read. warnings: a line on each reason to doubt the figures."""

    settings: Settings
    targets: tuple[Measured, ...]
    cells: tuple[Condition, ...]
    machine: Mapping[str, Any]
    conditions: Mapping[str, Any]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def compare(
    targets: Sequence[Target], settings: Settings, *, host: Host | None = None, progress: Progress = SILENT
) -> Comparison:
    """Measure targets interleaved: in each run, all targets answer one request of random token ids.

    Raises: ConfigError for targets and settings that don't go together; HostError; ExportError and ModelError when a
        target can't be loaded or run.
    """
    targets = _named_apart(targets)
    settings = replace(settings, vocabulary=_vocabulary(targets, settings.vocabulary))
    names = _names_there(targets)
    if host is None:
        found = _run_here(_job(targets, settings, {path: str(path.resolve()) for path in names}), settings, progress)
    else:
        _check_portable(targets)
        files = {name: path for path, name in names.items()}
        found = run_there(host, _job(targets, settings, names), files, progress, runs=settings.total_runs)
    return summarize(targets, settings, found)


def _named_apart(targets: Sequence[Target]) -> list[Target]:
    """The targets, named by the shortest ends of their paths that differ."""
    if not targets:
        raise ConfigError("a measurement needs at least one target, got none")
    parts = [Path(target.name).parts for target in targets]
    if len(set(parts)) < len(parts):
        raise ConfigError(f"targets must differ, got {' '.join(target.name for target in targets)}")
    depth = next(depth for depth in range(1, 100) if len({part[-depth:] for part in parts}) == len(parts))
    return [replace(one, name=str(Path(*part[-depth:]))) for one, part in zip(targets, parts, strict=True)]


def _vocabulary(targets: Sequence[Target], asked: int | None) -> int:
    """The number of token ids that all targets know."""
    known = [(target.vocabulary, target.name) for target in targets if target.vocabulary is not None]
    if asked is None and len(known) < len(targets):
        unknown = next(target.name for target in targets if target.vocabulary is None)
        raise ConfigError(f"the vocabulary of {unknown} can't be found in its graph: give it with --vocabulary")
    smallest, owner = min(known, default=(asked or 0, ""))
    if asked is not None and asked > smallest:
        raise ConfigError(f"vocabulary must be at most the {smallest} rows of the embedding of {owner}, got {asked}")
    if (asked or smallest) < 2:
        raise ConfigError(f"a vocabulary must have at least 2 token ids, got {asked or smallest}")
    return asked or smallest


def _check_portable(targets: Sequence[Target]) -> None:
    for target in targets:
        if target.kind != "onnx":
            raise ConfigError(f"a host measures ONNX files and bundles, {target.name} is a checkpoint: export it first")


def _names_there(targets: Sequence[Target]) -> dict[Path, str]:
    """File → its place in the folder on a host; external weights keep their place beside the graph."""
    return {
        file: f"{index}/{file.relative_to(target.path.parent).as_posix()}"
        for index, target in enumerate(targets)
        for file in target.files
    }


def _job(targets: Sequence[Target], settings: Settings, places: Mapping[Path, str]) -> dict[str, Any]:
    listed = [
        {
            "name": target.name,
            "kind": target.kind,
            # also beside a checkpoint, an ONNX file's memory is measured in a process without torch
            "module": _MODULES[target.kind],
            "path": places.get(target.path, str(target.path.resolve())),
            "files": [places[file] for file in target.files],
        }
        for target in targets
    ]
    return {**asdict(settings), "targets": listed}


def _run_here(job: Mapping[str, Any], settings: Settings, progress: Progress) -> dict[str, Any]:
    """Measure in a separate process, as on a host, so that nothing that this one has loaded affects the figures."""
    modules = {target["module"] for target in job["targets"]}
    module = _TORCH_RUNNER if _TORCH_RUNNER in modules else RUNNER
    with TemporaryDirectory(prefix="aebert-") as folder, TemporaryFile() as errors:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        child = subprocess.Popen(
            [sys.executable, "-m", module, str(path)], stdout=subprocess.PIPE, stderr=errors, text=True
        )
        outcome = Outcome()
        try:
            assert child.stdout is not None
            follow(child.stdout, outcome, progress, settings.total_runs)
            outcome.code = child.wait()
        finally:
            child.kill()
            child.communicate()  # closes its output
        errors.seek(0)
        outcome.last = last_line(errors.read().decode("utf-8", "replace"))
    if outcome.result is None:
        killed = f"it was killed (signal {-outcome.code}): too little memory?" if outcome.code < 0 else outcome.last
        raise ExportError(outcome.error or f"measuring failed: {killed or f'exit code {outcome.code}'}")
    return outcome.result


def summarize(targets: Sequence[Target], settings: Settings, found: Mapping[str, Any]) -> Comparison:
    """The figures in a runner's result."""
    first = targets[0].name
    cells = [
        _cell(target.name, raw, paired_ratio(raw["milliseconds"][first], raw["milliseconds"][target.name]))
        for raw in found["cells"]
        for target in targets
    ]
    measured = [
        Measured(target.name, target.form, target.size_bytes, **values)
        for target, values in zip(targets, found["footprints"], strict=True)
    ]
    warnings = [*found["warnings"], *_doubts(found, settings, first)]
    return Comparison(settings, tuple(measured), tuple(cells), found["machine"], found["conditions"], tuple(warnings))


def _cell(target: str, raw: Mapping[str, Any], ratio: Ratio) -> Condition:
    times, joules = np.asarray(raw["milliseconds"][target]), raw["joules"].get(target)
    p50, p90, p99 = np.percentile(times, [50, 90, 99])
    return Condition(
        target=target,
        threads=raw["threads"],
        batch_size=raw["batch_size"],
        length=raw["length"],
        runs=len(times),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        mean_ms=float(times.mean()),
        std_ms=float(times.std(ddof=1)) if len(times) > 1 else None,
        throughput_per_s=float(raw["batch_size"] * len(times) / (times.sum() / 1000)),
        joules=float(np.mean(joules)) if joules else None,
        ratio=ratio,
    )


def paired_ratio(first_ms: Sequence[float], other_ms: Sequence[float]) -> Ratio:
    """How many times faster `other_ms` [runs] is than `first_ms` [runs], run by run."""
    ratios = np.sort(paired_ratios(first_ms, other_ms))
    bounds = median_ranks(len(ratios))
    low, high = (None, None) if bounds is None else (float(ratios[bounds[0]]), float(ratios[bounds[1]]))
    return Ratio(float(np.median(ratios)), low, high)


def median_ranks(n: int) -> tuple[int, int] | None:
    """Indices, in n sorted values, of the ends of an interval that holds the true median in at least 95 % of cases.

    None for fewer than 6 values. It holds for any distribution: of n values, Binomial(n, 1/2) are below the median.
    Source: Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    below = int(binom.ppf(0.025, n, 0.5))
    if binom.cdf(below, n, 0.5) > 0.025:
        below -= 1
    return None if below < 0 else (below, n - 1 - below)


def _doubts(found: Mapping[str, Any], settings: Settings, first: str) -> Iterator[str]:
    """Warnings that the runs themselves give reason for."""
    runs, noisy = settings.total_runs, sum(raw["noisy"] for raw in found["cells"])
    if noisy:
        yield f"other processes were busy in {noisy} of {runs} runs, even after retries: close them and measure again"
    if found["conditions"].get("load of others") == "not watched":
        yield "this system doesn't show the load of other processes, so it was not watched (pip install psutil)"
    drifts = [drift(raw["milliseconds"][first]) for raw in found["cells"]]
    worst = max(drifts, key=abs, default=0.0)
    if abs(worst) > _DRIFT:
        way = "up" if worst > 0 else "down"
        yield f"times of {first} went {way} by {100 * abs(worst):.0f} % within the runs of one shape"
    cores = found["machine"].get("cores")
    if cores and max(settings.threads) > cores:
        yield f"{max(settings.threads)} threads share {cores} cores"


def drift(times: Sequence[float]) -> float:
    """Relative change of the median from the first half of the runs to the second; 0 for fewer than 10 runs."""
    half = len(times) // 2
    if half < 5:
        return 0.0
    before = float(np.median(times[:half]))
    return float(np.median(times[half:])) / before - 1 if before and math.isfinite(before) else 0.0

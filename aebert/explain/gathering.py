"""Measure what explains a sub-network's speed: two files, interleaved, and single products of theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from aebert.deployment.cpu import Cpu, this_cpu
from aebert.deployment.session import OnnxModel
from aebert.errors import ConfigError
from aebert.explain.export_choice import find_export_choice
from aebert.explain.facts import INT8_LANES, Facts, FileFacts, WidthTrial
from aebert.explain.node_times import QUANTIZED_OPS, NodeTime, node_times
from aebert.explain.product_timing import TimedProduct, time_products
from aebert.profiling.sampling import Meter, interleave, spread

# Floats of the widest vector register (AVX-512) and columns that MLAS, ONNX Runtime's kernels, computes at a time.
ALIGNMENT = 16
DENSE, SMALL = "dense", "sub-network"

Timer = Callable[[Sequence[TimedProduct]], Mapping[TimedProduct, float]]


def find_graph(path: Path) -> Path:
    """The ONNX file that a path stands for: itself, or the only one in a folder (a bundle).

    Raises: ConfigError when there is none, or more than one.
    """
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise ConfigError(f"{path} must hold one ONNX file, got {names}; name the file")
    return found[0]


def gather(
    dense: Path,
    small: Path,
    *,
    length: int,
    batch: int = 1,
    threads: int = 1,
    runs: int = 50,
    expected: float | None = None,
    meter: Meter | None = None,
    cpu: Cpu | None = None,
) -> Facts:
    """Measure both files on one request of token ids, with 1 and with `threads` threads, all interleaved.

    expected: the speedup that a cost table predicts; by default the ratio of multiply-accumulates, times four where
    only the sub-network is quantized.

    Raises: ExportError when a file is missing, damaged or can't run on `[batch, length]`.
    """
    files, counts = {DENSE: dense, SMALL: small}, sorted({1, threads})
    models = {(name, count): OnnxModel(path, count) for name, path in files.items() for count in counts}
    request = _request([*models.values()], batch, length)
    runners = {f"{name} {count}": model.logits for (name, count), model in models.items()}
    samples = interleave(runners, [request], spread(1, runs), warmup=[0] * 3, meter=meter)
    facts = {
        name: FileFacts(
            path.name,
            {count: median(samples.milliseconds[f"{name} {count}"]) for count in counts},
            node_times(path, request, threads=threads, runs=runs),
        )
        for name, path in files.items()
    }
    timer: Timer = partial(time_products, threads=threads, runs=runs, meter=meter)
    found = put_together(facts[DENSE], facts[SMALL], expected=expected, cpu=cpu or this_cpu(), timer=timer)
    return replace(found, export=find_export_choice(small), busy_share=samples.noisy / runs)


def put_together(dense: FileFacts, small: FileFacts, *, expected: float | None, cpu: Cpu, timer: Timer) -> Facts:
    """The facts about two measured files; `timer` times the products that prove or refute a cause."""
    by = "a cost table"
    if expected is None:
        expected, by = expected_speedup(dense, small)
    return Facts(
        dense=dense,
        small=small,
        cpu=cpu,
        expected=expected,
        expected_by=by,
        widths=width_trials(small, timer),
        int8_gain=int8_gain(small, timer) if small.quantized and not dense.quantized else None,
    )


def expected_speedup(dense: FileFacts, small: FileFacts) -> tuple[float, str]:
    """The speedup that multiply-accumulates promise, and in words how it was computed."""
    if not dense.macs or not small.macs:
        raise ConfigError("both files must have matrix products to compare, got one file without; give --expected")
    share = dense.macs / small.macs
    counts = f"{small.macs / 1e6:,.1f} of {dense.macs / 1e6:,.1f} million multiply-accumulates"
    if small.quantized and not dense.quantized:
        return INT8_LANES * share, f"{counts}, and {INT8_LANES:.0f} int8 products in the place of one float32"
    return share, counts


def width_trials(file: FileFacts, timer: Timer) -> tuple[WidthTrial, ...]:
    """Every size of product whose widths are not multiples of the alignment, timed with the next aligned size."""
    counts = Counter(_product(node) for node in file.nodes if node.rows)
    odd = [one for one in counts if (one.inner % ALIGNMENT or one.columns % ALIGNMENT) and one.columns >= ALIGNMENT]
    wider = {one: TimedProduct(one.rows, _up(one.inner), _up(one.columns), one.int8) for one in odd}
    times = timer(list(dict.fromkeys([*odd, *wider.values()]))) if odd else {}
    return tuple(
        WidthTrial(one.inner, one.columns, next_.inner, next_.columns, counts[one], times[one], times[next_])
        for one, next_ in wider.items()
    )


def int8_gain(file: FileFacts, timer: Timer) -> float:
    """How many times faster the largest quantized product is than in float32."""
    largest = max((node for node in file.nodes if _product(node).int8), key=lambda node: node.macs)
    quick = _product(largest)
    slow = TimedProduct(quick.rows, quick.inner, quick.columns, False)
    times = timer([slow, quick])
    return times[slow] / times[quick]


def _product(node: NodeTime) -> TimedProduct:
    return TimedProduct(node.rows, node.inner, node.columns, node.op in QUANTIZED_OPS)


def _up(width: int) -> int:
    return -(-width // ALIGNMENT) * ALIGNMENT


def _request(models: Sequence[OnnxModel], batch: int, length: int) -> dict[str, NDArray[np.int64]]:
    """A request without padding, all of one token that every vocabulary has."""
    names = sorted({name for model in models for name in model.inputs})
    return {name: np.full((batch, length), name != "token_type_ids", dtype=np.int64) for name in names}

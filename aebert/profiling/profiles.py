"""What it costs to run exported files on this machine: latency, throughput, load time, memory, size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aebert.deployment.opening import open_model
from aebert.deployment.session import Feed
from aebert.errors import ConfigError
from aebert.profiling.memory import Footprint, measure_memory
from aebert.profiling.sampling import Meter, Samples, interleave, paired_ratios, spread
from aebert.progress import SILENT, Progress

_LENGTH_GROUPS = 5  # groups of lengths whose times are kept


@dataclass(frozen=True)
class Lengths:
    """Padded lengths, in tokens, of the measured requests."""

    min: int
    median: float
    p90: float
    max: int


@dataclass(frozen=True)
class Speedup:
    """How many times faster a file answers than the first one: ratios of the same request in the same run.

    median: of the ratios; above 1 is faster. p10, p90: the range of the middle 80 % of the ratios.
    """

    median: float
    p10: float
    p90: float


@dataclass(frozen=True)
class TimesOfLength:
    """The median time of the requests whose padded length is from `shortest` to `longest` tokens; runs: how many."""

    shortest: int
    longest: int
    runs: int
    p50_ms: float


@dataclass(frozen=True)
class Profile:
    """One file on one machine.

    batch_size: sequences per request. runs: timed requests, each at its own length (`lengths`), after `warmup` others.
    p50_ms, p90_ms, p99_ms: of one request, tokenization not included. throughput_per_s: sequences, one request at a
    time. load_ms: time to make the session, with the file in the page cache. peak_memory_bytes: resident memory of a
    process that loads the file and answers the largest request; baseline_memory_bytes: before it loads the file.
    busy_samples_rejected: runs that were dropped because other processes used more than a tenth of the machine.
    busy_samples_kept: runs that were kept nevertheless because the machine did not get quiet; `quiet`: there are none.
    by_length: the same times by length, from short requests to long ones.
    samples_ms [runs]: aligned between the files of one measurement; not part of the JSON.
    """

    name: str
    path: Path
    size_bytes: int
    threads: int
    batch_size: int
    warmup: int
    runs: int
    lengths: Lengths
    p50_ms: float
    p90_ms: float
    p99_ms: float
    throughput_per_s: float
    load_ms: float
    peak_memory_bytes: int
    baseline_memory_bytes: int
    busy_samples_rejected: int
    busy_samples_kept: int
    speedup: Speedup
    by_length: tuple[TimesOfLength, ...]
    samples_ms: tuple[float, ...] = field(repr=False)

    @property
    def quiet(self) -> bool:
        """Whether the machine was quiet in every run that counts."""
        return self.busy_samples_kept == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, without samples; the file by its name only."""
        values = {key: value for key, value in asdict(self).items() if key != "samples_ms"}
        return {**values, "path": self.path.name, "quiet": self.quiet}


def profile_files(
    files: Mapping[str, Path],
    requests: Sequence[Feed],
    *,
    threads: int,
    warmup: int,
    runs: int,
    meter: Meter | None = None,
    progress: Progress = SILENT,
) -> list[Profile]:
    """Profile of each file, in the order given; `speedup` is against the first.

    requests: batches as they will come in, at the task's own lengths; `runs` of them are taken evenly. All files are
    measured in one process and take turns on each request (see `interleave`); memory and load time are measured in a
    process for each file.

    Raises: ConfigError without files or requests; ExportError when a file is missing or damaged.
    """
    if not files or not requests:
        raise ConfigError(f"a profile needs files and requests, got {len(files)} and {len(requests)}")
    shapes = [(len(request["input_ids"]), request["input_ids"].shape[1]) for request in requests]
    largest = max(range(len(shapes)), key=lambda index: shapes[index][0] * shapes[index][1])
    footprints = {
        name: measure_memory(path, threads=threads, batch=shapes[largest][0], length=shapes[largest][1])
        for name, path in files.items()
    }
    schedule = spread(len(requests), runs)
    # The largest request first, so that memory grows before the clock runs.
    warm = [largest, *(schedule[run % runs] for run in range(warmup - 1))][:warmup]
    models = {name: open_model(path, threads).logits for name, path in files.items()}
    samples = interleave(models, requests, schedule, warmup=warm, meter=meter, progress=progress)
    sizes = [shapes[index] for index in samples.schedule]
    return [_profile(name, path, threads, warmup, footprints[name], sizes, samples) for name, path in files.items()]


def _profile(
    name: str,
    path: Path,
    threads: int,
    warmup: int,
    footprint: Footprint,
    sizes: Sequence[tuple[int, int]],  # [runs], batch and seq of each run's request
    samples: Samples,
) -> Profile:
    mine = samples.milliseconds[name]
    p50, p90, p99 = np.percentile(mine, [50, 90, 99])
    return Profile(
        name=name,
        path=path,
        size_bytes=path.stat().st_size,
        threads=threads,
        batch_size=max(rows for rows, _ in sizes),
        warmup=warmup,
        runs=len(mine),
        lengths=_lengths([length for _, length in sizes]),
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        throughput_per_s=sum(rows for rows, _ in sizes) / (sum(mine) / 1000),
        load_ms=footprint.load_ms,
        peak_memory_bytes=footprint.peak_memory_bytes,
        baseline_memory_bytes=footprint.baseline_memory_bytes,
        busy_samples_rejected=samples.rejected,
        busy_samples_kept=samples.noisy,
        speedup=speedup(next(iter(samples.milliseconds.values())), mine),
        by_length=times_by_length([length for _, length in sizes], mine),
        samples_ms=mine,
    )


def speedup(baseline_ms: Sequence[float], other_ms: Sequence[float]) -> Speedup:
    """How many times faster `other_ms` [runs] is than `baseline_ms` [runs], run by run."""
    p10, median, p90 = np.percentile(paired_ratios(baseline_ms, other_ms), [10, 50, 90])
    return Speedup(float(median), float(p10), float(p90))


def times_by_length(lengths: Sequence[int], ms: Sequence[float]) -> tuple[TimesOfLength, ...]:
    """Times of requests [runs] in up to five groups of neighbouring lengths, about as many requests in each.

    Requests of one length stay together, so there may be fewer groups.
    """
    found, rest = [], sorted(zip(lengths, ms, strict=True))
    for left in range(_LENGTH_GROUPS, 0, -1):
        if not rest:
            break
        longest = rest[-(-len(rest) // left) - 1][0]
        group = [(length, taken) for length, taken in rest if length <= longest]
        rest = rest[len(group) :]
        found.append(TimesOfLength(group[0][0], longest, len(group), float(np.median([taken for _, taken in group]))))
    return tuple(found)


def _lengths(lengths: Sequence[int]) -> Lengths:
    median, p90 = np.percentile(lengths, [50, 90])
    return Lengths(min(lengths), float(median), float(p90), max(lengths))

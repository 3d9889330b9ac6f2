"""Taking turns: time several things on the same requests, interleaved, while the machine is quiet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import psutil

from aebert.progress import SILENT, Bar, Progress

RequestT = TypeVar("RequestT")
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)

# Seconds of measuring between two looks at the load.
WINDOW_S = 0.5

# Systems count CPU time in steps of 10 ms per core; so much in a window may be an error of counting.
TICK_S = 0.01

# Share of the machine's CPU time that other processes may use in a window that counts as quiet.
QUIET_SHARE = 0.1


class Run(Protocol[RequestT_contra]):
    """What is timed: one request, start to finish."""

    def __call__(self, request: RequestT_contra, /) -> object:
        """Answer the request."""


class Meter(Protocol):
    """The clock and the load of the machine."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def others_busy(self) -> float:
        """CPU seconds that other processes have used so far; differences count."""

    def cores(self) -> int:
        """Cores that `others_busy` adds up."""


class MachineMeter:
    """This machine. In a sandbox that shows no system-wide load, other processes look idle."""

    def now(self) -> float:
        """Seconds of the performance counter."""
        return time.perf_counter()

    def others_busy(self) -> float:
        """Busy seconds of all cores, stolen time included, less those of this process, all threads."""
        times = psutil.cpu_times()
        kinds = ("user", "nice", "system", "irq", "softirq", "steal")
        return sum(getattr(times, kind, 0.0) for kind in kinds) - time.process_time()

    def cores(self) -> int:
        """Logical cores."""
        return psutil.cpu_count() or 1


@dataclass(frozen=True)
class Samples:
    """Durations of one measurement.

    schedule [runs]: index of the request of each run, in the order measured.
    milliseconds: name → [runs], aligned with `schedule`, so that runs of two names can be compared in pairs.
    rejected: runs thrown away and taken again because other processes were busy; noisy: runs kept though they were,
    since taking again had not helped.
    """

    schedule: tuple[int, ...]
    milliseconds: Mapping[str, tuple[float, ...]]
    rejected: int
    noisy: int


def spread(num_requests: int, runs: int, *, seed: int = 0) -> list[int]:
    """Indices of `runs` requests, evenly spaced over all of them, in random order.

    Requests often come sorted by length: the first ones would not stand for the rest.
    """
    even = [run * num_requests // runs for run in range(runs)]
    return [int(index) for index in np.random.default_rng(seed).permutation(even)]


def interleave(
    models: Mapping[str, Run[RequestT]],
    requests: Sequence[RequestT],
    schedule: Sequence[int],
    *,
    warmup: Sequence[int] = (),
    meter: Meter | None = None,
    progress: Progress = SILENT,
) -> Samples:
    """Time every model on every scheduled request, one run after the other: each run is all models on one request.

    Which model goes first rotates from run to run. Runs come in windows of half a second; when other processes used
    more than a tenth of the machine in a window, its runs are taken again, at most as many as the schedule has.
    warmup: indices of requests that every model answers before, untimed.
    """
    for index in warmup:
        for model in models.values():
            model(requests[index])
    turns = _Turns(models, requests, meter or MachineMeter(), retakes_left=len(schedule))
    with progress.bar("measure", len(schedule)) as bar:
        while len(turns.schedule) < len(schedule):
            turns.take_window(schedule[len(turns.schedule) :], bar)
    return Samples(
        tuple(turns.schedule), {name: tuple(ms) for name, ms in turns.samples.items()}, turns.rejected, turns.noisy
    )


@dataclass
class _Turns(Generic[RequestT]):
    """The state of one measurement."""

    models: Mapping[str, Run[RequestT]]
    requests: Sequence[RequestT]
    meter: Meter
    retakes_left: int
    rejected: int = 0
    noisy: int = 0
    schedule: list[int] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)

    def take_window(self, pending: Sequence[int], bar: Bar) -> None:
        """Measure pending requests for the length of a window; keep the runs, or count them as rejected."""
        start, busy_before = self.meter.now(), self.meter.others_busy()
        taken: list[dict[str, float]] = []
        for index in pending:
            taken.append(self._run(self.requests[index], rotation=len(self.schedule) + len(taken)))
            if self.meter.now() - start >= WINDOW_S:
                break
        seconds = self.meter.now() - start
        allowed = self.meter.cores() * (QUIET_SHARE * seconds + TICK_S)
        busy = self.meter.others_busy() - busy_before > allowed
        if busy and self.retakes_left >= len(taken):
            self.retakes_left -= len(taken)
            self.rejected += len(taken)
            return
        self.noisy += len(taken) if busy else 0
        self._keep(pending[: len(taken)], taken)
        bar.advance(len(taken))

    def _run(self, request: RequestT, rotation: int) -> dict[str, float]:
        names = list(self.models)
        first = rotation % len(names)
        return {name: self._time(self.models[name], request) for name in names[first:] + names[:first]}

    def _time(self, model: Callable[[RequestT], object], request: RequestT) -> float:
        start = self.meter.now()
        model(request)
        return (self.meter.now() - start) * 1000

    def _keep(self, indices: Sequence[int], taken: Sequence[Mapping[str, float]]) -> None:
        self.schedule.extend(indices)
        for name in self.models:
            self.samples.setdefault(name, []).extend(run[name] for run in taken)

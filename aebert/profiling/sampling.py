"""Time several things on the same requests, interleaved, while the machine is quiet.

Runs on boards too: Python 3.9, psutil or not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from aebert.progress import SILENT, Bar, Progress

RequestT = TypeVar("RequestT")
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)

# Seconds of measuring between two looks at the load.
WINDOW_S = 0.5

# Systems count CPU time in steps of 10 ms per core, so that a window may be off by this much per core.
TICK_S = 0.01

# Share of the machine's CPU time that other processes may use in a window that counts as quiet.
QUIET_SHARE = 0.1


class TimedCall(Protocol[RequestT_contra]):
    """What is timed: one request, start to finish."""

    def __call__(self, request: RequestT_contra, /) -> object:
        """Answer the request."""


class Meter(Protocol):
    """The clock and the load of the machine."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def others_busy(self) -> float:
        """CPU seconds that other processes have used so far; only differences mean something."""

    def cores(self) -> int:
        """Number of cores that `others_busy` adds up."""


class MachineMeter:
    """This machine. In a sandbox that shows no system-wide load, other processes look idle."""

    def now(self) -> float:
        """Seconds of the performance counter."""
        return time.perf_counter()

    def others_busy(self) -> float:
        """Busy seconds of all cores, stolen time included, less those of this process, all threads."""
        import psutil  # which boards may lack

        times = psutil.cpu_times()
        kinds = ("user", "nice", "system", "irq", "softirq", "steal")
        return sum(getattr(times, kind, 0.0) for kind in kinds) - time.process_time()

    def cores(self) -> int:
        """Logical cores."""
        return os.cpu_count() or 1


class ProcMeter(MachineMeter):
    """A Linux machine without psutil."""

    stat = Path("/proc/stat")

    def others_busy(self) -> float:
        """Busy seconds of all cores, stolen time included, less those of this process, all threads."""
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, self.stat.read_text().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()


class BlindMeter(MachineMeter):
    """A machine that shows nothing of other processes, so that they look idle."""

    def others_busy(self) -> float:
        """Zero."""
        return 0.0


def machine_meter() -> MachineMeter:
    """The best meter that this machine has."""
    try:
        import psutil  # noqa: F401
    except ImportError:
        return ProcMeter() if ProcMeter.stat.exists() else BlindMeter()
    return MachineMeter()


class Gauge(Protocol):
    """An energy meter."""

    def joules(self) -> float:
        """Energy used so far; only differences mean something."""


@dataclass(frozen=True)
class Samples:
    """Durations of one measurement.

    schedule [runs]: index of the request of each run, in the order measured.
    milliseconds: name → [runs], aligned with `schedule`, so that runs of two names can be compared in pairs.
    rejected: number of runs that were dropped and repeated because other processes were busy. noisy: number of runs
    that were kept although they were busy, since repeating had not helped.
    joules: name → [runs], aligned with `schedule`; empty without a gauge.
    """

    schedule: tuple[int, ...]
    milliseconds: Mapping[str, tuple[float, ...]]
    rejected: int
    noisy: int
    joules: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def paired_ratios(first_ms: Sequence[float], other_ms: Sequence[float]) -> NDArray[np.float64]:
    """How many times faster `other_ms` [runs] is than `first_ms` [runs], run by run."""
    return np.asarray(first_ms, dtype=np.float64) / np.asarray(other_ms, dtype=np.float64)


def spread(num_requests: int, runs: int, *, seed: int = 0) -> list[int]:
    """Indices of `runs` requests, evenly spaced over all of them, in random order.

    Requests often come sorted by length, so that the first ones would not represent the rest.
    """
    even = [run * num_requests // runs for run in range(runs)]
    return [int(index) for index in np.random.default_rng(seed).permutation(even)]


def interleave(
    models: Mapping[str, TimedCall[RequestT]],
    requests: Sequence[RequestT],
    schedule: Sequence[int],
    *,
    warmup: Sequence[int] = (),
    meter: Meter | None = None,
    gauge: Gauge | None = None,
    look: Callable[[], None] = lambda: None,
    progress: Progress = SILENT,
) -> Samples:
    """Time every model on every scheduled request. In each run, all models answer one request, one after the other.

    Which model goes first rotates from run to run. Runs come in windows of half a second; when other processes used
    more than a tenth of the machine in a window, its runs are repeated; at most as many runs as the schedule has.
    warmup: indices of requests that every model answers first, untimed.
    gauge: read before and after each call. look: called after each window, while the machine is still under load.
    """
    for index in warmup:
        for model in models.values():
            model(requests[index])
    turns = _Turns(models, requests, meter or machine_meter(), gauge, retakes_left=len(schedule))
    with progress.bar("measure", len(schedule)) as bar:
        while len(turns.schedule) < len(schedule):
            turns.take_window(schedule[len(turns.schedule) :], bar)
            look()
    return turns.result()


@dataclass(frozen=True)
class _Timed:
    milliseconds: float
    joules: float


@dataclass
class _Turns(Generic[RequestT]):
    """The state of a measurement."""

    models: Mapping[str, TimedCall[RequestT]]
    requests: Sequence[RequestT]
    meter: Meter
    gauge: Gauge | None
    retakes_left: int
    rejected: int = 0
    noisy: int = 0
    schedule: list[int] = field(default_factory=list)
    samples: dict[str, list[_Timed]] = field(default_factory=dict)

    def result(self) -> Samples:
        """The runs that were kept."""
        milliseconds = {name: tuple(one.milliseconds for one in timed) for name, timed in self.samples.items()}
        joules = {name: tuple(one.joules for one in timed) for name, timed in self.samples.items() if self.gauge}
        return Samples(tuple(self.schedule), milliseconds, self.rejected, self.noisy, joules)

    def take_window(self, pending: Sequence[int], bar: Bar) -> None:
        """Measure pending requests for the length of a window; keep the runs, or count them as rejected."""
        start, busy_before = self.meter.now(), self.meter.others_busy()
        taken: list[dict[str, _Timed]] = []
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

    def _run(self, request: RequestT, rotation: int) -> dict[str, _Timed]:
        names = list(self.models)
        first = rotation % len(names)
        return {name: self._time(self.models[name], request) for name in names[first:] + names[:first]}

    def _time(self, model: Callable[[RequestT], object], request: RequestT) -> _Timed:
        joules = self.gauge.joules() if self.gauge else 0.0
        start = self.meter.now()
        model(request)
        milliseconds = (self.meter.now() - start) * 1000
        return _Timed(milliseconds, self.gauge.joules() - joules if self.gauge else 0.0)

    def _keep(self, indices: Sequence[int], taken: Sequence[Mapping[str, _Timed]]) -> None:
        self.schedule.extend(indices)
        for name in self.models:
            self.samples.setdefault(name, []).extend(run[name] for run in taken)

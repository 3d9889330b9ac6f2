from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.profiling.sampling import (
    BlindMeter,
    MachineMeter,
    ProcMeter,
    interleave,
    machine_meter,
    paired_ratios,
    spread,
)
from aebert.progress import Bar


class FakeMachine:
    """Two cores and a clock that only models move. `load` is the CPU share of others, by time."""

    def __init__(self, load: Callable[[float], float] = lambda _: 0.0) -> None:
        self.time, self.busy, self.load = 0.0, 0.0, load
        self.calls: list[tuple[str, str]] = []

    def model(self, name: str, seconds: dict[str, float]) -> Callable[[str], None]:
        def run(request: str) -> None:
            self.calls.append((name, request))
            self.busy += seconds[request] * self.load(self.time)
            self.time += seconds[request]

        return run

    def now(self) -> float:
        return self.time

    def others_busy(self) -> float:
        return self.busy

    def cores(self) -> int:
        return 2


def test_models_take_turns_on_each_request_and_the_first_rotates() -> None:
    machine = FakeMachine()
    models = {name: machine.model(name, {"x": 0.001, "y": 0.002}) for name in "abc"}
    interleave(models, ["x", "y"], [0, 1, 0, 1], meter=machine)
    assert ["".join(call) for call in machine.calls] == [
        *("ax", "bx", "cx"),
        *("by", "cy", "ay"),
        *("cx", "ax", "bx"),
        *("ay", "by", "cy"),
    ]


def test_samples_are_paired_and_in_milliseconds() -> None:
    machine = FakeMachine()
    models = {"a": machine.model("a", {"x": 0.25, "y": 0.5}), "b": machine.model("b", {"x": 1.0, "y": 2.0})}
    samples = interleave(models, ["x", "y"], [1, 0, 1], meter=machine)
    assert samples.schedule == (1, 0, 1)
    assert samples.milliseconds == {"a": (500.0, 250.0, 500.0), "b": (2000.0, 1000.0, 2000.0)}
    assert (samples.rejected, samples.noisy) == (0, 0)


def test_warm_up_is_not_timed() -> None:
    machine = FakeMachine()
    models = {name: machine.model(name, {"x": 0.001, "y": 0.002}) for name in "ab"}
    samples = interleave(models, ["x", "y"], [0], warmup=[1, 0], meter=machine)
    assert ["".join(call) for call in machine.calls] == ["ay", "by", "ax", "bx", "ax", "bx"]
    assert {len(ms) for ms in samples.milliseconds.values()} == {1}


def test_runs_of_a_busy_time_are_taken_again() -> None:
    # one core of two is busy during the first second, which holds two windows of two runs of 0.25 s
    machine = FakeMachine(load=lambda time: 1.0 if time < 1.0 else 0.0)
    samples = interleave({"a": machine.model("a", {"x": 0.25})}, ["x"], [0] * 6, meter=machine)
    assert (samples.rejected, samples.noisy) == (4, 0)
    assert samples.milliseconds == {"a": (250.0,) * 6}
    assert len(machine.calls) == 10


def test_a_machine_that_never_gets_quiet_is_measured_and_reported() -> None:
    machine = FakeMachine(load=lambda _: 1.0)
    samples = interleave({"a": machine.model("a", {"x": 0.25})}, ["x"], [0] * 6, meter=machine)
    assert (samples.rejected, samples.noisy) == (6, 6)
    assert len(samples.milliseconds["a"]) == 6
    assert len(machine.calls) == 12


@pytest.mark.parametrize(("load", "noisy"), [(0.20, 0), (0.30, 6)])
def test_a_tenth_of_the_machine_is_quiet(load: float, noisy: int) -> None:
    # 0.2 of 2 cores is a tenth; above it 0.02 of a second may be an error of counting (0.04 of a core here)
    machine = FakeMachine(load=lambda _: load)
    assert interleave({"a": machine.model("a", {"x": 0.25})}, ["x"], [0] * 6, meter=machine).noisy == noisy


class CountingProgress:
    def __init__(self) -> None:
        self.total: float | None = None
        self.done = 0.0

    @contextmanager
    def bar(self, title: str, total: float | None) -> Iterator[Bar]:
        self.total = total
        yield self

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.done += steps

    def say(self, line: str) -> None:
        pass


def test_progress_counts_kept_runs() -> None:
    machine, progress = FakeMachine(load=lambda time: 1.0 if time < 1.0 else 0.0), CountingProgress()
    interleave({"a": machine.model("a", {"x": 0.25})}, ["x"], [0] * 6, meter=machine, progress=progress)
    assert (progress.total, progress.done) == (6, 6)


def test_a_spread_of_fewer_runs_than_requests_is_even() -> None:
    assert sorted(spread(10, 5)) == [0, 2, 4, 6, 8]


@given(st.integers(1, 60), st.integers(1, 200))
def test_a_spread_uses_all_requests_equally(num_requests: int, runs: int) -> None:
    schedule = spread(num_requests, runs)
    counts = [schedule.count(index) for index in range(num_requests)]
    assert len(schedule) == runs
    assert max(counts) - min(counts) <= 1


def test_a_spread_is_shuffled_the_same_way_each_time() -> None:
    assert spread(40, 40) == spread(40, 40)
    assert spread(40, 40) != list(range(40))


def test_load_of_others_is_what_is_neither_idle_nor_own(monkeypatch: pytest.MonkeyPatch) -> None:
    linux = {"user": 50.0, "nice": 4.0, "system": 20.0, "idle": 900.0, "iowait": 30.0}
    linux |= {"irq": 1.0, "softirq": 2.0, "steal": 3.0, "guest": 10.0, "guest_nice": 0.5}  # guest is part of user
    monkeypatch.setattr("psutil.cpu_times", lambda: SimpleNamespace(**linux))
    monkeypatch.setattr("time.process_time", lambda: 15.0)
    assert MachineMeter().others_busy() == 65.0  # 50 + 4 + 20 + 1 + 2 + 3 - 15
    windows = SimpleNamespace(user=50.0, system=20.0, idle=900.0, interrupt=1.0, dpc=1.0)  # parts of system
    monkeypatch.setattr("psutil.cpu_times", lambda: windows)
    assert MachineMeter().others_busy() == 55.0


def test_ratios_are_those_of_the_same_run() -> None:
    assert paired_ratios([20, 40, 30], (10, 10, 60)).tolist() == [2.0, 4.0, 0.5]


def test_energy_is_counted_between_the_ends_of_each_run() -> None:
    machine = FakeMachine()

    class Watts:
        def joules(self) -> float:
            return 10 * machine.time  # 10 W

    models = {"a": machine.model("a", {"x": 0.25, "y": 0.5}), "b": machine.model("b", {"x": 1.0, "y": 2.0})}
    samples = interleave(models, ["x", "y"], [1, 0], meter=machine, gauge=Watts())
    assert samples.joules == {"a": (5.0, 2.5), "b": (20.0, 10.0)}
    assert interleave(models, ["x", "y"], [1, 0], meter=machine).joules == {}


def test_sensors_are_looked_at_after_each_window_also_of_rejected_runs() -> None:
    machine, looks = FakeMachine(load=lambda time: 1.0 if time < 1.0 else 0.0), []
    model = machine.model("a", {"x": 0.25})
    interleave({"a": model}, ["x"], [0] * 6, meter=machine, look=lambda: looks.append(machine.time))
    assert looks == [0.5, 1.0, 1.5, 2.0, 2.5]


def test_load_of_others_without_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  5000 400 2000 90000 3000 100 200 300 1000 50\ncpu0 1 2 3\n")
    monkeypatch.setattr(ProcMeter, "stat", stat)
    monkeypatch.setattr("time.process_time", lambda: 15.0)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
    assert ProcMeter().others_busy() == 65.0


def test_the_best_meter_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(machine_meter()) is MachineMeter
    monkeypatch.setitem(sys.modules, "psutil", None)  # as if it were not installed
    monkeypatch.setattr(ProcMeter, "stat", tmp_path)
    assert type(machine_meter()) is ProcMeter
    monkeypatch.setattr(ProcMeter, "stat", tmp_path / "none")
    assert type(machine_meter()) is BlindMeter

from __future__ import annotations

from pathlib import Path

import pytest

from aebert.profiling.sensors import Rapl, Sensors, Watch, open_rapl

CPU = "sys/devices/system/cpu/cpu"


def put(root: Path, path: str, value: object) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{value}\n")
    return file


def package(root: Path, index: int, energy: int, top: int = 999) -> Path:
    zone = f"sys/class/powercap/intel-rapl:{index}"
    put(root, f"{zone}/name", f"package-{index}")
    put(root, f"{zone}/max_energy_range_uj", top)
    return put(root, f"{zone}/energy_uj", energy)


def test_energy_is_what_all_packages_used_since(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 100), package(tmp_path, 1, 500)
    rapl, line = open_rapl(tmp_path)
    assert rapl is not None
    assert line == "RAPL, processor packages, idle share included"
    assert rapl.joules() == 0.0
    first.write_text("150\n")
    second.write_text("507\n")
    assert rapl.joules() == pytest.approx(57e-6)


def test_a_counter_that_wraps_around_goes_on(tmp_path: Path) -> None:
    # 0..999: from 990, 20 steps lead to 10
    counter = package(tmp_path, 0, 990)
    rapl = Rapl([counter.parent])
    counter.write_text("10\n")
    assert rapl.joules() == pytest.approx(20e-6)
    counter.write_text("5\n")
    assert rapl.joules() == pytest.approx((20 + 995) * 1e-6)


def test_parts_of_a_package_do_not_count_twice(tmp_path: Path) -> None:
    package(tmp_path, 0, 100)
    for zone, name in (("intel-rapl:0:0", "core"), ("intel-rapl:1", "psys"), ("intel-rapl-mmio:0", "package-0")):
        put(tmp_path, f"sys/class/powercap/{zone}/name", name)
        put(tmp_path, f"sys/class/powercap/{zone}/max_energy_range_uj", 999)
    parts = put(tmp_path, "sys/class/powercap/intel-rapl:0:0/energy_uj", 0)
    rapl, _ = open_rapl(tmp_path)
    assert rapl is not None
    parts.write_text("500\n")
    assert rapl.joules() == 0.0


def test_without_energy_counters_the_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_rapl(tmp_path) == (None, "not exposed")
    counter = package(tmp_path, 0, 100)
    read = Path.read_text

    def refuse(path: Path) -> str:  # tests may run as root, who may read everything
        if path == counter:
            raise PermissionError
        return read(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert open_rapl(tmp_path) == (None, "permission denied: root may read /sys/class/powercap/*/energy_uj")


def test_of_an_energy_counter_that_cannot_be_read_the_line_says_why(tmp_path: Path) -> None:
    package(tmp_path, 0, 100).write_text("busy\n")
    rapl, line = open_rapl(tmp_path)
    assert rapl is None
    assert line.startswith("can't be read: invalid literal")


def test_the_clock_is_that_of_the_core_that_works(tmp_path: Path) -> None:
    sensors = Sensors(tmp_path)
    assert sensors.frequency_mhz() is None
    put(tmp_path, f"{CPU}0/cpufreq/scaling_cur_freq", 800_000)
    put(tmp_path, f"{CPU}1/cpufreq/scaling_cur_freq", 3_600_000)
    put(tmp_path, f"{CPU}2/cpufreq/scaling_cur_freq", "<unknown>")
    assert sensors.frequency_mhz() == 3600.0


def test_the_temperature_is_the_processors_where_it_has_a_sensor(tmp_path: Path) -> None:
    sensors = Sensors(tmp_path)
    assert sensors.temperature_c() is None
    put(tmp_path, "sys/class/thermal/thermal_zone0/type", "acpitz")
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", 70_000)
    assert sensors.temperature_c() == 70.0
    put(tmp_path, "sys/class/thermal/thermal_zone1/type", "cpu-thermal")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", 51_500)
    assert sensors.temperature_c() == 51.5
    for chip, name, value in ((0, "nvme", 80_000), (1, "coretemp", 62_000)):
        put(tmp_path, f"sys/class/hwmon/hwmon{chip}/name", name)
        put(tmp_path, f"sys/class/hwmon/hwmon{chip}/temp1_input", value)
    assert sensors.temperature_c() == 62.0


class Board:
    """Fake sensors that answer from lists."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def set(self, *, mhz: int = 2400, celsius: float = 50, events: int = 3, bits: str = "0") -> None:
        put(self.root, f"{CPU}0/cpufreq/scaling_cur_freq", mhz * 1000)
        put(self.root, "sys/class/thermal/thermal_zone0/temp", int(celsius * 1000))
        put(self.root, f"{CPU}0/thermal_throttle/core_throttle_count", events)
        put(self.root, "sys/devices/platform/soc/soc:firmware/get_throttled", bits)


@pytest.fixture
def fake(tmp_path: Path) -> Board:
    board = Board(tmp_path)
    board.set()
    return board


@pytest.mark.parametrize(
    ("later", "lines"),
    [
        ({}, []),
        ({"mhz": 2161, "celsius": 60}, []),  # less than a tenth, not above 10 °C
        ({"mhz": 2100}, ["the clock changed between 2100 and 2400 MHz"]),
        ({"celsius": 61}, ["the processor warmed from 50 to 61 °C"]),
        ({"celsius": 20}, []),
        ({"events": 5}, ["the processor slowed itself down 2 times because it was too hot"]),
        ({"bits": "50005"}, ["the board reports: under-voltage, throttled (power supply or cooling)"]),
        ({"bits": "80000"}, ["the board reports: soft temperature limit (power supply or cooling)"]),
    ],
)
def test_what_makes_figures_doubtful(fake: Board, later: dict[str, object], lines: list[str]) -> None:
    watch = Watch(Sensors(fake.root))
    watch.look()
    fake.set(**later)  # type: ignore[arg-type]
    watch.look()
    assert watch.warnings() == lines


def test_throttling_of_earlier_days_is_no_news(fake: Board) -> None:
    fake.set(bits="50000")
    watch = Watch(Sensors(fake.root))
    watch.look()
    assert watch.warnings() == []


def test_throttling_in_the_middle_is_not_missed(fake: Board) -> None:
    watch = Watch(Sensors(fake.root))
    fake.set(bits="4")
    watch.look()
    fake.set(bits="0")
    watch.look()
    assert watch.warnings() == ["the board reports: throttled (power supply or cooling)"]


def test_facts_are_the_span_or_that_there_is_none(fake: Board, tmp_path: Path) -> None:
    watch = Watch(Sensors(fake.root))
    watch.look()
    fake.set(mhz=2300, celsius=55)
    watch.look()
    assert watch.facts() == {"frequency_mhz": [2300.0, 2400.0], "temperature_c": [50.0, 55.0]}
    blind = Watch(Sensors(tmp_path / "nothing"))
    blind.look()
    assert blind.facts() == {"frequency_mhz": "not exposed", "temperature_c": "not exposed"}
    assert blind.warnings() == []

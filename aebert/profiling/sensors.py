"""Energy, clock frequency, temperature and throttling, as far as Linux exposes them. Runs on boards too: Python 3.9."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path("/")

# Drivers of hwmon that measure processors.
_PROCESSOR_CHIPS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"})
_PROCESSOR_ZONES = ("cpu", "soc", "pkg", "package")

# Bits that the firmware of a Raspberry Pi sets while something holds, and 16 places higher once it has held:
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_PI_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}

_LEAST_FREQUENCY = 0.9  # of the highest frequency seen under load
_MOST_WARMING = 10.0  # °C


class Rapl:
    """Energy of all processor packages, as Intel and AMD processors count it; their idle parts are included.

    Counters wrap around within minutes to hours: read more often than that.
    """

    def __init__(self, domains: Sequence[Path]) -> None:
        self._ranges = {domain / "energy_uj": _int(domain / "max_energy_range_uj") for domain in domains}
        self._last = {counter: _int(counter) for counter in self._ranges}
        self._microjoules = 0

    def joules(self) -> float:
        """Energy since this object was made."""
        for counter, top in self._ranges.items():
            now = _int(counter)
            # the largest value is one below the number of values
            self._microjoules += (now - self._last[counter]) % (top + 1)
            self._last[counter] = now
        return self._microjoules / 1e6


def open_rapl(root: Path = ROOT) -> tuple[Rapl | None, str]:
    """The energy counters, and a line for the user: what they count, or why there are none."""
    # intel-rapl:0 is a package, intel-rapl:0:0 a part of it, and intel-rapl-mmio:0 the same package again
    zones = [zone for zone in root.glob("sys/class/powercap/intel-rapl:*") if zone.name.count(":") == 1]
    packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
    if not packages:
        return None, "not exposed"
    try:
        return Rapl(sorted(packages)), "RAPL, processor packages, idle share included"
    except PermissionError:
        return None, "permission denied: root may read /sys/class/powercap/*/energy_uj"
    except (OSError, ValueError) as error:
        return None, f"can't be read: {error}"


@dataclass(frozen=True)
class Sensors:
    """Reads what the system exposes below `root`; values that it doesn't expose are None."""

    root: Path = ROOT

    def frequency_mhz(self) -> float | None:
        """Clock of the fastest core now, which is the one that works."""
        paths = self.root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        return max((value / 1000 for value in _readable(paths)), default=None)

    def temperature_c(self) -> float | None:
        """The hottest part of the processor now; without a sensor of the processor, the hottest zone of the board."""
        chips = [path.parent for path in self.root.glob("sys/class/hwmon/hwmon*/name") if _is_processor_chip(path)]
        zones = list(self.root.glob("sys/class/thermal/thermal_zone*"))
        processor = [zone for zone in zones if any(word in _text(zone / "type").lower() for word in _PROCESSOR_ZONES)]
        inputs = [path for chip in chips for path in chip.glob("temp*_input")]
        inputs = inputs or [zone / "temp" for zone in processor or zones]
        return max((value / 1000 for value in _readable(inputs)), default=None)

    def throttle_events(self) -> int | None:
        """How often the processor has slowed itself down since the system started (x86)."""
        found = _readable(self.root.glob("sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count"))
        counts = list(found)
        return sum(counts) if counts else None

    def pi_throttled(self) -> int | None:
        """The bits of a Raspberry Pi's firmware."""
        text = _text(self.root / "sys/devices/platform/soc/soc:firmware/get_throttled")
        return int(text, 16) if text else None


@dataclass
class Watch:
    """What the sensors read during a measurement; call `look` at the start and at the end of every window."""

    sensors: Sensors = field(default_factory=Sensors)
    frequencies: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events_before, self._bits_before = self.sensors.throttle_events(), self.sensors.pi_throttled() or 0
        self._bits_now = 0

    def look(self) -> None:
        """Read the sensors."""
        for values, value in (
            (self.frequencies, self.sensors.frequency_mhz()),
            (self.temperatures, self.sensors.temperature_c()),
        ):
            if value is not None:
                values.append(value)
        self._bits_now |= self.sensors.pi_throttled() or 0

    def facts(self) -> dict[str, list[float] | str]:
        """Lowest and highest frequency and temperature, or `not exposed`."""
        seen = {"frequency_mhz": self.frequencies, "temperature_c": self.temperatures}
        return {key: [min(values), max(values)] if values else "not exposed" for key, values in seen.items()}

    def warnings(self) -> list[str]:
        """A line on each reason to doubt the figures."""
        return [*self._drifts(), *self._throttled()]

    def _drifts(self) -> Iterator[str]:
        if self.frequencies and min(self.frequencies) < _LEAST_FREQUENCY * max(self.frequencies):
            yield f"the clock changed between {min(self.frequencies):.0f} and {max(self.frequencies):.0f} MHz"
        if self.temperatures and max(self.temperatures) - self.temperatures[0] > _MOST_WARMING:
            yield f"the processor warmed from {self.temperatures[0]:.0f} to {max(self.temperatures):.0f} °C"

    def _throttled(self) -> Iterator[str]:
        events = (self.sensors.throttle_events() or 0) - (self._events_before or 0)
        if events > 0:
            yield f"the processor slowed itself down {events} times because it was too hot"
        # bits 0 to 3 hold now; bits 16 to 19 held at some time: those that are new held during this measurement
        held = self._bits_now | (self._bits_now & ~self._bits_before) >> 16
        names = [name for bit, name in _PI_BITS.items() if held >> bit & 1]
        if names:
            yield f"the board reports: {', '.join(names)} (power supply or cooling)"


def _is_processor_chip(name: Path) -> bool:
    return _text(name) in _PROCESSOR_CHIPS


def _readable(paths: Iterator[Path] | Sequence[Path]) -> Iterator[int]:
    for path in paths:
        try:
            yield _int(path)
        except (OSError, ValueError):  # a core that is off, a sensor that answers only at times
            continue


def _int(path: Path) -> int:
    return int(path.read_text())


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

from __future__ import annotations

import io

from rich.console import RenderableType

from aebert.latency.devices import Device, load_device
from aebert.reporting.devices import device_detail, devices_table
from aebert.reporting.printing import print_tables
from aebert.reporting.tables import Table

PI = load_device("raspberry-pi-5")


def shown(table: Table | RenderableType) -> str:
    stream = io.StringIO()
    print_tables(table, file=stream)
    return stream.getvalue()


def test_devices_are_listed_with_where_their_times_come_from() -> None:
    text = shown(devices_table([load_device("this"), PI, Device(name="mine", host="pi@board")]))
    rows = [line.split("  ")[0].strip() for line in text.splitlines()]
    assert {"this", "raspberry-pi-5", "mine"} <= set(rows)
    assert "estimate (roofline)" in text
    assert "measured on pi@board" in text


def test_an_estimated_device_shows_parameters_sources_and_errors() -> None:
    text = shown(device_detail(PI))
    for part in ("clock_ghz: 2.4", "macs_per_cycle: float32 8, int8 32", "source: Arm Cortex-A76", "assumptions:"):
        assert part in text
    assert "estimate 35.67 ms, measured 256.24 ms: -86 %" in text


def test_a_measured_device_shows_its_connection() -> None:
    text = shown(device_detail(Device(name="mine", host="pi@board", port=2222, python="py", threads=3)))
    for part in ("mine: measured on pi@board", "port: 2222", "python: py", "threads: 3"):
        assert part in text
    assert "identity" not in text
    assert shown(device_detail(load_device("this"))) == "this: measured here\nthe machine this runs on\n"

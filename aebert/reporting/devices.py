"""Tables of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from rich.console import Group, RenderableType
from rich.text import Text

from aebert.latency.devices import Device
from aebert.latency.estimates import published_errors
from aebert.reporting.tables import Cell, Column, Table


def devices_table(devices: Sequence[Device]) -> Table:
    """One line per device, with where its times come from."""
    columns = (Column(title, "text") for title in ("device", "times are", "what it is"))
    rows = ((device.name, device.way, device.description) for device in devices)
    return Table(
        "Devices",
        tuple(columns),
        tuple(tuple(Cell(text, text) for text in row) for row in rows),
        "Estimates were measured nowhere; `aebert devices show NAME` lists their errors against published times.\n"
        "A device of your own is a YAML file with name, and host or estimate; its path takes the place of a name.",
    )


def device_detail(device: Device) -> RenderableType:
    """All that a device file says, and the errors of its estimates against published times."""
    lines = [Text(f"{device.name}: {device.way}", style="table.title"), *map(Text, _given(device.description))]
    if device.estimate is None:
        facts: Mapping[str, Any] = device.model_dump(include={"host", "port", "identity", "python", "threads"})
        lines += [_facts(facts)] if device.host else []
        return Group(*lines)
    lines += [Text(f"source: {device.source}"), _facts({"kind": device.kind, **_parameters(device.estimate)})]
    lines += _listed("assumptions", (*device.assumptions, *device.estimate.caveats))
    lines += _listed("against published times", [str(error) for error in published_errors(device)])
    return Group(*lines)


def _parameters(estimate: BaseModel) -> Mapping[str, Any]:
    return estimate.model_dump(mode="json")


def _facts(values: Mapping[str, Any]) -> Text:
    return Text("\n".join(f"  {key}: {_plain(value)}" for key, value in values.items() if value is not None))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each:g}" for key, each in value.items())
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _listed(title: str, lines: Sequence[str]) -> list[Text]:
    return [Text(f"{title}:"), *(Text(f"  - {line}") for line in lines)] if lines else []


def _given(text: str) -> list[str]:
    return [text] if text else []

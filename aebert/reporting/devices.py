"""Tables of devices, and of a front priced for one that isn't at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pydantic import BaseModel
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aebert.models.shape import ModelShape
from aebert.profiling.devices import Device
from aebert.profiling.estimates import Precision
from aebert.profiling.pricing import Estimate, estimate, published_errors
from aebert.reporting import units
from aebert.reporting.grids import headline
from aebert.reporting.rows import Report
from aebert.search.front import standing
from aebert.search.record import TrialRecord


def devices_table(devices: Sequence[Device]) -> RenderableType:
    """One line per device: where its times come from."""
    table = _columns("device", "times are", "what it is")
    for device in devices:
        table.add_row(*map(Text, (device.name, device.way, device.description)))
    return table


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


@dataclass(frozen=True)
class Priced:
    """A trial and its estimate."""

    trial: TrialRecord
    estimate: Estimate


def estimated_front(
    report: Report, shape: ModelShape, device: Device, *, length: int | None, batch: int, precision: str
) -> list[Priced]:
    """The dense model, and the trials that no other beats in score or estimated time; by time, descending.

    shape: of the study's dense model. length: tokens, the study's when None. Nothing is scored again.

    Raises: ConfigError when the device has no model, or its model says nothing about such work.
    """
    seen = [trial for trial in report.trials if trial.stopped_at is None and math.isfinite(trial.score)]
    tokens = report.info.length if length is None else length
    price = partial(estimate, device, shape=shape, length=tokens, batch=batch, precision=cast(Precision, precision))
    priced = [Priced(trial, price(trial.architecture)) for trial in seen]
    priced.sort(key=lambda one: (one.estimate.estimated_ms, standing(one.trial)))
    best: list[Priced] = []
    for one in priced:
        if not best or one.trial.score > best[-1].trial.score:
            best.append(one)
    dense = [one for one in priced if one.trial.origin == "dense" and one not in best]
    return dense + best[::-1]


def estimates_table(report: Report, priced: Sequence[Priced]) -> RenderableType:
    """Trials with their estimated latency; the note says on what the estimates rest."""
    first = priced[0].estimate
    table = _columns("trial", f"{report.info.metric} × 100", "parameters removed", "estimated ms", "estimated speedup")
    for one in priced:
        table.add_row(
            str(one.trial.number) + (" (dense)" if one.trial.origin == "dense" else ""),
            units.points(headline(one.trial, report.info)),
            units.percent(one.trial.sparsity),
            f"{one.estimate.estimated_ms:.2f}",
            f"{first.estimated_ms / one.estimate.estimated_ms:.2f}×",
        )
    work = f"length {first.length}, batch {first.batch}, {first.precision}"
    return Group(
        Text(f"Estimate, not a measurement: {first.device}, {work}", style="table.title"),
        table,
        *_listed("assumptions", first.assumptions),
        Text(f"{first.checked} (`aebert devices show {first.device}` lists them)"),
    )


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


def _columns(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(Text(title), justify="left" if title in ("device", "times are", "what it is") else "right")
    return table

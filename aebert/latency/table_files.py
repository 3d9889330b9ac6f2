"""Files of latency tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aebert.errors import ConfigError
from aebert.files import write_json
from aebert.latency.curves import ALIGNMENT, Blocks, Curve
from aebert.latency.table import LatencyTable, Measurement, TableShape
from aebert.latency.workload import Workload
from aebert.pruning.architecture import Architecture

FORMAT = "aebert-latency-table-1"


def write_table(table: LatencyTable, path: Path) -> Path:
    """Write a table as JSON, whole or not at all."""
    write_json(path, to_dict(table))
    return path


def to_dict(table: LatencyTable) -> dict[str, Any]:
    """Plain values, for JSON; `from_dict` is the inverse. The error on held-out models is written for readers."""
    accuracy = table.accuracy()
    return {
        "format": FORMAT,
        "machine": dict(table.machine),
        "form": table.form,
        "shape": asdict(table.shape),
        "alignment": ALIGNMENT,
        "error": accuracy and asdict(accuracy),
        "prices": [{**asdict(workload), **asdict(blocks)} for workload, blocks in table.prices.items()],
        "measured": [_measurement_dict(each, table) for each in table.measured],
        "held_out": [_measurement_dict(each, table) for each in table.held_out],
        "seconds": table.seconds,
        "rejected": table.rejected,
        "noisy": table.noisy,
    }


def _measurement_dict(each: Measurement, table: LatencyTable) -> dict[str, Any]:
    values = {name: getattr(each, name) for name in ("median_ms", "p10_ms", "p90_ms", "runs")}
    predicted = table.predict(each.architecture, each.workload)
    return {**asdict(each.workload), **each.architecture.to_dict(), **values, "predicted_ms": predicted}


def from_dict(values: Mapping[str, Any]) -> LatencyTable:
    """Inverse of `to_dict`. Raises: KeyError, TypeError, ValueError for values of another kind."""
    shape = values["shape"]
    return LatencyTable(
        machine=dict(values["machine"]),
        form=values["form"],
        shape=TableShape(**{**shape, "heads": tuple(shape["heads"]), "ffn": tuple(shape["ffn"])}),
        prices={_workload(each): _blocks(each) for each in values["prices"]},
        measured=tuple(_measurement(each) for each in values["measured"]),
        held_out=tuple(_measurement(each) for each in values["held_out"]),
        seconds=float(values["seconds"]),
        rejected=int(values["rejected"]),
        noisy=int(values["noisy"]),
    )


def _workload(values: Mapping[str, Any]) -> Workload:
    return Workload(int(values["length"]), int(values["batch"]), int(values["threads"]))


def _blocks(values: Mapping[str, Any]) -> Blocks:
    floor = float(values["floor_ms"])
    if not 0 <= floor < float("inf"):
        raise ConfigError(f"floor_ms must be a number ≥ 0, got {floor:g}")
    return Blocks(floor, _curve(values["heads"]), _curve(values["ffn"]))


def _curve(values: Mapping[str, Sequence[float]]) -> Curve:
    return Curve(tuple(map(int, values["widths"])), tuple(map(float, values["milliseconds"])))


def _measurement(values: Mapping[str, Any]) -> Measurement:
    median, p10, p90 = (float(values[name]) for name in ("median_ms", "p10_ms", "p90_ms"))
    return Measurement(_workload(values), Architecture.from_dict(dict(values)), median, p10, p90, int(values["runs"]))


def read_table(path: Path) -> LatencyTable:
    """Read a table. Raises: ConfigError, one line that names the file, when it is missing, damaged or no table."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, dict) else type(values).__name__
            raise ConfigError(f"its format must be {FORMAT!r}, got {found!r}")
        if values.get("form") not in ("float32", "int8"):
            raise ConfigError(f"its form must be float32 or int8, got {values.get('form')!r}")
        table = from_dict(values)
        if not table.prices:
            raise ConfigError("it has no prices")
        return table
    except OSError as error:
        raise ConfigError(
            f"latency table {path} can't be read: {error.strerror}; make it with `aebert latency-table`"
        ) from None
    except (
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # a damaged or foreign file
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ConfigError(f"latency table {path} must be one that `aebert latency-table` wrote: {reason}") from None

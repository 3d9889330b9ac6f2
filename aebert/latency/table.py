"""Latency tables: what a sub-network takes on a device in the form that ships, told from its widths."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aebert.config import digest
from aebert.errors import ConfigError
from aebert.files import write_json
from aebert.latency.fit import ALIGNMENT, Blocks, Curve
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.space import Grid
from aebert.search.table import CostTable, measured_table

FORMAT = "aebert-latency-table-1"
FileForm = Literal["float32", "int8"]
_NS = 1e6  # per ms


@dataclass(frozen=True, order=True)
class Workload:
    """How files are run: tokens per row, rows per request, threads."""

    length: int
    batch: int = 1
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.length} tokens, batch {self.batch}, {self.threads} thread(s)"


@dataclass(frozen=True)
class Measurement:
    """One whole model, measured. p10_ms, median_ms, p90_ms: of one request, over `runs` of them."""

    setting: Workload
    architecture: Architecture
    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int


@dataclass(frozen=True)
class TableAccuracy:
    """How far predictions are from measured medians, as shares of the predicted value, over held-out whole models.

    median, p90, max: of the distance. under_p90: what 9 of 10 models don't take longer than predicted by, 0 or more.
    """

    models: int
    median: float
    p90: float
    max: float
    under_p90: float


@dataclass(frozen=True)
class TableShape:
    """The encoder that a table is of: prices hold for its sub-networks, and for no other encoder."""

    family: str
    hidden: int
    head_size: int
    heads: tuple[int, ...]
    ffn: tuple[int, ...]

    @classmethod
    def of(cls, shape: ModelShape) -> TableShape:
        """What a table has to know of a model."""
        return cls(shape.family, shape.hidden, shape.head_size, shape.heads, shape.ffn)


@dataclass(frozen=True)
class LatencyTable:
    """Prices of blocks on one device, in one form of file.

    machine: see `machine_facts`. prices: by setting. measured: the models that prices are fitted to; held_out: others,
    which only `accuracy` looks at. seconds: that measuring took. rejected, noisy: see `Samples`.
    """

    machine: Mapping[str, Any]
    form: FileForm
    shape: TableShape
    prices: Mapping[Workload, Blocks]
    measured: tuple[Measurement, ...] = ()
    held_out: tuple[Measurement, ...] = ()
    seconds: float = 0.0
    rejected: int = 0
    noisy: int = 0

    @property
    def device(self) -> str:
        """Name of the processor and the form of file, for reports."""
        return f"{self.machine.get('cpu', 'unknown processor')}, {self.form}"

    @property
    def digest(self) -> str:
        """Of the prices."""
        return digest(self.form, asdict(self.shape), [[asdict(key), asdict(each)] for key, each in self.prices.items()])

    def blocks(self, setting: Workload) -> Blocks:
        """Prices at a setting; lengths between two measured ones are interpolated, batch and threads are not.

        Raises: ConfigError when the table was not measured there, naming where it was.
        """
        alike = {each.length: each for each in self.prices if (each.batch, each.threads) == _way(setting)}
        if setting.length in alike:
            return self.prices[alike[setting.length]]
        shorter, longer = ([n for n in alike if n < setting.length], [n for n in alike if n > setting.length])
        if not shorter or not longer:
            known = "; ".join(map(str, sorted(self.prices)))
            raise ConfigError(f"latency table must cover {setting}, it was measured at {known}: choose one of these")
        low, high = max(shorter), min(longer)
        share = (setting.length - low) / (high - low)
        return _between(self.prices[alike[low]], self.prices[alike[high]], share)

    def predict(self, architecture: Architecture, setting: Workload) -> float:
        """Median milliseconds of one request."""
        return self.blocks(setting).predict(architecture)

    def accuracy(self, setting: Workload | None = None) -> TableAccuracy | None:
        """Error on the held-out models, with a setting at all lengths of its batch and threads; None without any."""
        return self._error([each for each in self.held_out if setting is None or _way(each.setting) == _way(setting)])

    def accuracy_at(self, setting: Workload) -> TableAccuracy | None:
        """Error on the held-out models at exactly this setting; None without any."""
        return self._error([each for each in self.held_out if each.setting == setting])

    def _error(self, held_out: Sequence[Measurement]) -> TableAccuracy | None:
        pairs = [(each.median_ms, self.predict(each.architecture, each.setting)) for each in held_out]
        if not pairs:
            return None
        measured, predicted = np.array(pairs).T
        errors = measured / predicted - 1
        median, p90 = np.percentile(np.abs(errors), [50, 90])
        under = max(0.0, float(np.percentile(errors, 90)))
        return TableAccuracy(len(pairs), float(median), float(p90), float(np.abs(errors).max()), under)

    def check(self, shape: TableShape) -> None:
        """Raise ConfigError when the table is of another encoder."""
        for name in ("family", "hidden", "head_size", "heads", "ffn"):
            mine, other = getattr(self.shape, name), getattr(shape, name)
            if mine != other:
                raise ConfigError(
                    f"latency table must be of the study's encoder: its {name} is {_shown(mine)}, the study's "
                    f"{_shown(other)}; measure one with `aebert latency-table`"
                )

    def cost_table(self, setting: Workload, grid: Grid) -> CostTable:
        """What every block costs at every level of a grid, in ns."""
        blocks = self.blocks(setting)
        rows = [
            [_NS * (blocks.heads if block < grid.attention_blocks else blocks.ffn)(width) for width in widths]
            for block, widths in enumerate(grid.allowed)
        ]
        return measured_table("ns", _NS * blocks.floor_ms, rows, grid)


def _way(setting: Workload) -> tuple[int, int]:
    return setting.batch, setting.threads


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _between(low: Blocks, high: Blocks, share: float) -> Blocks:
    """Linear in the length. Attention grows faster, so between two lengths this is above it, if anything."""

    def mix(first: float, second: float) -> float:
        return (1 - share) * first + share * second

    def curve(first: Curve, second: Curve) -> Curve:
        widths = tuple(sorted({*first.widths, *second.widths}))
        return Curve(widths, tuple(mix(first(width), second(width)) for width in widths))

    return Blocks(mix(low.floor_ms, high.floor_ms), curve(low.heads, high.heads), curve(low.ffn, high.ffn))


# --- files ------------------------------------------------------------------------------------------------------------


def write_table(table: LatencyTable, path: Path) -> Path:
    """Write a table as JSON, whole or not at all."""
    write_json(path, to_dict(table))
    return path


def to_dict(table: LatencyTable) -> dict[str, Any]:
    """Plain values, for JSON; `from_dict` is the inverse. The error on held-out models is told along with it."""
    accuracy = table.accuracy()
    return {
        "format": FORMAT,
        "machine": dict(table.machine),
        "form": table.form,
        "shape": asdict(table.shape),
        "alignment": ALIGNMENT,
        "error": accuracy and asdict(accuracy),
        "prices": [{**asdict(setting), **asdict(blocks)} for setting, blocks in table.prices.items()],
        "measured": [_measurement_dict(each, table) for each in table.measured],
        "held_out": [_measurement_dict(each, table) for each in table.held_out],
        "seconds": table.seconds,
        "rejected": table.rejected,
        "noisy": table.noisy,
    }


def _measurement_dict(each: Measurement, table: LatencyTable) -> dict[str, Any]:
    values = {name: getattr(each, name) for name in ("median_ms", "p10_ms", "p90_ms", "runs")}
    predicted = table.predict(each.architecture, each.setting)
    return {**asdict(each.setting), **each.architecture.to_dict(), **values, "predicted_ms": predicted}


def from_dict(values: Mapping[str, Any]) -> LatencyTable:
    """Inverse of `to_dict`. Raises: KeyError, TypeError, ValueError for values of another kind."""
    shape = values["shape"]
    return LatencyTable(
        machine=dict(values["machine"]),
        form=values["form"],
        shape=TableShape(**{**shape, "heads": tuple(shape["heads"]), "ffn": tuple(shape["ffn"])}),
        prices={_setting(each): _blocks(each) for each in values["prices"]},
        measured=tuple(_measurement(each) for each in values["measured"]),
        held_out=tuple(_measurement(each) for each in values["held_out"]),
        seconds=float(values["seconds"]),
        rejected=int(values["rejected"]),
        noisy=int(values["noisy"]),
    )


def _setting(values: Mapping[str, Any]) -> Workload:
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
    return Measurement(_setting(values), Architecture.from_dict(dict(values)), median, p10, p90, int(values["runs"]))


def read_table(path: Path) -> LatencyTable:
    """Read a table. Raises: ConfigError, one line that names the file, when it is missing, damaged or none."""
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
    except (KeyError, TypeError, AttributeError, ValueError) as error:  # a damaged or foreign file
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ConfigError(f"latency table {path} must be one that `aebert latency-table` wrote: {reason}") from None

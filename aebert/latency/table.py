"""Latency tables: what sub-networks take on a device in the form that ships, predicted from their widths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aebert.errors import ConfigError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.workload import FileForm, Workload
from aebert.models.shape import ModelShape
from aebert.profiling.machine import machine_facts
from aebert.pruning.architecture import Architecture
from aebert.search.space import Grid
from aebert.search.table import CostTable, measured_table
from aebert.sections import digest

_NS = 1e6  # per ms
_MACHINE = ("cpu", "architecture", "cores")  # what tells machines apart


@dataclass(frozen=True)
class Measurement:
    """One whole model, measured. p10_ms, median_ms, p90_ms: of one request, over `runs` of them."""

    workload: Workload
    architecture: Architecture
    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int


@dataclass(frozen=True)
class TableAccuracy:
    """How far predictions are from measured medians, as shares of the predicted value, over held-out whole models.

    median, p90, max: of the distance. under_p90: the share by which 9 of 10 models exceed their prediction at most; 0
    where they take less.
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
    """Prices of blocks on one device, in one form of file; a `PriceSource`.

    machine: see `machine_facts`. prices: by workload. measured: the models that prices are fitted to. held_out: other
    models, which only `accuracy` looks at. seconds: how long measuring took. rejected, noisy: see `Samples`.
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
    def name(self) -> str:
        """The processor and the form of file."""
        return f"{self.machine.get('cpu', 'unknown processor')}, {self.form}"

    @property
    def estimated(self) -> bool:
        """False: all times come from measurements."""
        return False

    @property
    def dense(self) -> Architecture:
        """The encoder's own widths."""
        return Architecture(self.shape.heads, self.shape.ffn)

    @property
    def digest(self) -> str:
        """Digest of the prices."""
        return digest(self.form, asdict(self.shape), [[asdict(key), asdict(each)] for key, each in self.prices.items()])

    def check(self, shape: ModelShape | None, form: FileForm, workload: Workload) -> None:
        """Raise ConfigError when the table is of another encoder or form, or was not measured at such a workload."""
        if shape is not None:
            self._check_encoder(TableShape.of(shape))
        if form != self.form:
            raise ConfigError(
                f"latency table must be of the {form} files that are asked for, it is of {self.form} ones: ask for "
                "those (deploy.int8, --form) or measure another table"
            )
        self.blocks(workload)

    def _check_encoder(self, shape: TableShape) -> None:
        for name in ("family", "hidden", "head_size", "heads", "ffn"):
            mine, other = getattr(self.shape, name), getattr(shape, name)
            if mine != other:
                raise ConfigError(
                    f"latency table must be of the study's encoder: its {name} is {_shown(mine)}, the study's "
                    f"{_shown(other)}; measure one with `aebert latency-table`"
                )

    def blocks(self, workload: Workload) -> Blocks:
        """Prices at a workload; lengths between two measured ones are interpolated, batch and threads are not.

        Raises: ConfigError when the table was not measured there; it names where it was.
        """
        alike = {each.length: each for each in self.prices if _way(each) == _way(workload)}
        if workload.length in alike:
            return self.prices[alike[workload.length]]
        shorter, longer = ([n for n in alike if n < workload.length], [n for n in alike if n > workload.length])
        if not shorter or not longer:
            known = "; ".join(map(str, sorted(self.prices)))
            raise ConfigError(f"latency table must cover {workload}, it was measured at {known}: choose one of these")
        low, high = max(shorter), min(longer)
        share = (workload.length - low) / (high - low)
        return _between(self.prices[alike[low]], self.prices[alike[high]], share)

    def predict(self, architecture: Architecture, workload: Workload) -> float:
        """Median milliseconds of one request."""
        return self.blocks(workload).predict(architecture)

    def cost_table(self, workload: Workload, grid: Grid) -> CostTable:
        """What every block costs at every level of a grid, in ns."""
        blocks = self.blocks(workload)
        rows = [
            [_NS * (blocks.heads if block < grid.attention_blocks else blocks.ffn)(width) for width in widths]
            for block, widths in enumerate(grid.allowed)
        ]
        return measured_table("ns", _NS * blocks.floor_ms, rows, grid)

    def accuracy(self, workload: Workload | None = None) -> TableAccuracy | None:
        """Error on the held-out models with a workload's batch and threads, at any length; None without such models.

        By default with any batch and threads.
        """
        alike = [each for each in self.held_out if workload is None or _way(each.workload) == _way(workload)]
        return self._error(alike)

    def accuracy_at(self, workload: Workload) -> TableAccuracy | None:
        """Error on the held-out models at exactly this workload; None without such models."""
        return self._error([each for each in self.held_out if each.workload == workload])

    def _error(self, held_out: Sequence[Measurement]) -> TableAccuracy | None:
        pairs = [(each.median_ms, self.predict(each.architecture, each.workload)) for each in held_out]
        if not pairs:
            return None
        measured, predicted = np.array(pairs).T
        errors = measured / predicted - 1
        median, p90 = np.percentile(np.abs(errors), [50, 90])
        under = max(0.0, float(np.percentile(errors, 90)))
        return TableAccuracy(len(pairs), float(median), float(p90), float(np.abs(errors).max()), under)

    def margin(self, workload: Workload) -> float:
        """The share by which 9 of 10 held-out models exceed their prediction at most, to 3 decimals; 0 without any."""
        accuracy = self.accuracy(workload)
        return 0.0 if accuracy is None else round(accuracy.under_p90, 3)

    def measured_here(self) -> bool:
        """Whether the table was measured on a machine with the same processor and number of cores as this one."""
        here = machine_facts()
        return all(self.machine.get(key) == here[key] for key in _MACHINE)

    def describe(self, workload: Workload) -> str:
        """The device and how its requests are run, in one line."""
        return f"{self.name}, {workload}"

    def remarks(self, workload: Workload) -> tuple[str, ...]:
        """What predictions hold for, and how far they are from held-out models."""
        accuracy = self.accuracy(workload)
        error = "" if accuracy is None else f"; median error {100 * accuracy.median:.1f} % of {accuracy.models} models"
        return (f"predicted ms on {self.describe(workload)}{error}",)


def _way(workload: Workload) -> tuple[int, int]:
    return workload.batch, workload.threads


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _between(low: Blocks, high: Blocks, share: float) -> Blocks:
    """Prices between two lengths, linear in the length. Attention grows faster, so they are rather too high there."""

    def mix(first: float, second: float) -> float:
        return (1 - share) * first + share * second

    def curve(first: Curve, second: Curve) -> Curve:
        widths = tuple(sorted({*first.widths, *second.widths}))
        return Curve(widths, tuple(mix(first(width), second(width)) for width in widths))

    return Blocks(mix(low.floor_ms, high.floor_ms), curve(low.heads, high.heads), curve(low.ffn, high.ffn))

"""Kinds of budgets: what each limits, how that is counted, and how reports put it into words.

A new kind is one record here, added to `KINDS`, and its field in `aebert.config.BudgetConfig`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import attrgetter
from typing import Protocol

import numpy as np

from aebert.models.shape import MatrixShape, ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import block_bytes, cost, fixed_bytes
from aebert.registry import Registry
from aebert.search.space import Grid
from aebert.search.table import CostTable, linear_table, measured_table


class Counted(Protocol):
    """What counting says about an architecture; trials have these fields, and so have the finalists of a report."""

    @property
    def params(self) -> int:
        """Parameters of the whole model."""

    @property
    def sparsity(self) -> float:
        """Share of the encoder's parameters that is removed."""

    @property
    def macs_removed(self) -> float:
        """Share of the encoder's multiply-accumulates that is removed."""


@dataclass(frozen=True)
class Basis:
    """What a cost table is counted from.

    length: tokens that MACs are counted at. int8: whether the file whose size counts is the quantized one.
    """

    shape: ModelShape
    grid: Grid
    length: int
    int8: bool = True


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of budget.

    A target is the share of the dense cost to remove where `is_share`, else the most that an architecture may cost.

    name: key of `search.budget`.
    share: name of the kind of share that goes with it. Samplers learn from that share in a study with several budgets,
      and fronts are drawn over it where the costs of trials were not recorded.
    counted: the cost of an architecture in the unit of targets; None where it depends on the file that ships.
    table: its cost table; None where costs are measured or estimated beforehand.
    scale: how many of the table's units make one of a target's: bytes of a MB, ns of a ms.
    text: how a target is written.

    In reports costs are multiplied by `factor` and shown with `decimals` decimals, or with 3 significant digits where
    that is None.
    ending: what follows a cost in a sentence. column, label: templates of `title` and `axis`.
    """

    name: str
    share: str
    is_share: bool = False
    counted: Callable[[Counted], float] | None
    table: Callable[[Basis], CostTable] | None
    scale: int = 1
    text: Callable[[float], str]
    factor: float = 1
    decimals: int | None
    ending: str
    column: str
    label: str

    # --- what it depends on --------------------------------------------------------------------------------------

    @property
    def is_of_file(self) -> bool:
        """Whether the cost depends on the file that ships, so that it can't be counted from a trial."""
        return self.counted is None

    @property
    def is_priced(self) -> bool:
        """Whether the cost is the time on a device: predicted by a table or estimated, and measured in the end."""
        return self.table is None

    @property
    def is_size(self) -> bool:
        """Whether a target is the most that the shipped file itself may take, in `scale` bytes."""
        return self.is_of_file and not self.is_priced

    # --- arithmetic ----------------------------------------------------------------------------------------------

    def limit(self, target: float, dense: int, margin: float = 0.0) -> int:
        """The highest cost in the table's unit that meets a target; `dense` is what the dense model costs.

        The limit leaves room for a measured cost that is above the table's by the share `margin`. It is exact in
        decimal: 0.9 means nine tenths, not the nearest float.
        """
        value = Fraction(str(float(target)))
        if self.is_share:
            return math.floor(dense * (1 - value))
        return math.floor(self.scale * value / (1 + Fraction(str(float(margin)))))

    def hardest(self, total: int, dense: int, margin: float = 0.0) -> float:
        """The hardest target that a cost in the table's unit still meets, rounded to a number that is short to type."""
        if self.is_share:
            return math.floor(100_000 * Fraction(dense - total, dense)) / 100_000
        grain = max(self.scale // 1000, 1)
        return math.ceil(total * (1 + Fraction(str(float(margin)))) / grain) * grain / self.scale

    def cost(self, total: int, dense: int) -> float:
        """Convert a cost from the table's unit to the unit of targets."""
        return 1.0 - total / dense if self.is_share else total / self.scale

    def step(self, step: int, dense: int) -> float:
        """Convert a difference of costs from the table's unit to the unit of targets."""
        return step / dense if self.is_share else step / self.scale

    def meets(self, cost: float, target: float) -> bool:
        """Whether a cost meets a target, both in the unit of targets; rounding errors of floats are forgiven."""
        slack = 1e-9 * abs(target)
        return cost >= target - slack if self.is_share else cost <= target + slack

    # --- words ---------------------------------------------------------------------------------------------------

    def title(self, *, estimated: bool = False) -> str:
        """Title of a column of costs; it holds the unit, unless the cells do."""
        return self.column.format(source=_SOURCES[estimated])

    def axis(self, length: int, *, estimated: bool = False) -> str:
        """Label of a chart's axis, for MACs counted at `length` tokens."""
        return self.label.format(length=length, source=_SOURCES[estimated])


_SOURCES = {False: "predicted", True: "estimated"}


def _sparsity_table(basis: Basis) -> CostTable:
    if isinstance(basis.shape, MatrixShape):
        return _linear("weights", int(basis.grid.full.sum()), np.ones_like(basis.grid.full), basis)
    dense = cost(Architecture.dense(basis.shape), basis.shape, basis.length)
    return _parameters(basis, dense.encoder_params)


def _params_table(basis: Basis) -> CostTable:
    dense = cost(Architecture.dense(basis.shape), basis.shape, basis.length)
    return _parameters(basis, dense.params)


def _parameters(basis: Basis, dense: int) -> CostTable:
    return _linear("parameters", dense, np.array([*basis.shape.head_params, *basis.shape.ffn_params]), basis)


def _macs_table(basis: Basis) -> CostTable:
    shape, length = basis.shape, basis.length
    heads = np.array(shape.head_macs) + 2 * shape.head_size * length
    dense = cost(Architecture.dense(shape), shape, length)
    return _linear("MACs", dense.macs, length * np.array([*heads, *shape.ffn_macs]), basis)


def _linear(unit: str, dense: int, unit_costs: np.ndarray, basis: Basis) -> CostTable:
    return linear_table(unit, dense - int(unit_costs @ basis.grid.full), unit_costs, basis.grid)


def _size_table(basis: Basis) -> CostTable:
    rows = [
        [block_bytes(basis.shape, block, width, int8=basis.int8) for width in widths]
        for block, widths in enumerate(basis.grid.allowed)
    ]
    return measured_table("bytes", fixed_bytes(basis.shape, int8=basis.int8), rows, basis.grid)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _params(count: float) -> str:
    scale, sign = (1e6, "M") if count >= 1e6 else (1e3, "K") if count >= 1e3 else (1.0, "")
    return f"{count / scale:.6g}{sign} params"


KINDS: Registry[Kind] = Registry("kind of budget")


def _add(kind: Kind) -> None:
    KINDS.add(kind.name, kind)


_add(
    Kind(
        name="sparsity",
        share="sparsity",
        is_share=True,
        counted=attrgetter("sparsity"),
        table=_sparsity_table,
        text=_percent,
        factor=100,
        decimals=1,
        ending=" of parameters removed",
        column="parameters removed",
        label="parameters of the encoder removed (%)",
    )
)
_add(
    Kind(
        name="macs",
        share="macs",
        is_share=True,
        counted=attrgetter("macs_removed"),
        table=_macs_table,
        text=_percent,
        factor=100,
        decimals=1,
        ending=" of MACs removed",
        column="MACs removed",
        label="MACs of the encoder removed (%), counted at {length} tokens",
    )
)
_add(
    replace(
        KINDS["sparsity"],
        name="zeros",
        ending=" of weights zero",
        column="weights zero",
        label="weights of the encoder's matrices that are zero (%)",
    )
)
_add(
    Kind(
        name="params",
        share="sparsity",
        counted=attrgetter("params"),
        table=_params_table,
        text=_params,
        factor=1e-6,
        decimals=2,
        ending=" M parameters",
        column="params (M)",
        label="parameters of the model (millions)",
    )
)
_add(
    Kind(
        name="size_mb",
        share="sparsity",
        counted=None,
        table=_size_table,
        scale=10**6,
        text="{:.6g} MB".format,
        decimals=2,
        ending=" MB",
        column="size (MB)",
        label="size of the file (MB)",
    )
)
_add(
    Kind(
        name="latency_ms",
        share="macs",
        counted=None,
        table=None,
        scale=10**6,
        text="{:.6g} ms".format,
        decimals=None,
        ending=" ms",
        column="{source} (ms)",
        label="{source} time of one request (ms)",
    )
)

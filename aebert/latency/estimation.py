"""What an architecture would cost on a device that isn't at hand. Every number here is an estimate and says so."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from aebert.errors import ConfigError
from aebert.latency.devices import Device, Published, estimator_of
from aebert.latency.estimates import Estimator, Precision, Work
from aebert.latency.references import REFERENCE_SHAPES
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.space import Grid
from aebert.search.table import CostTable, measured_table


@dataclass(frozen=True)
class EstimateError:
    """An estimate against a published time: error = estimated / published - 1."""

    published: Published
    estimated_ms: float

    @property
    def error(self) -> float:
        """Share of the published time by which the estimate is above it (below: negative)."""
        return self.estimated_ms / self.published.milliseconds - 1.0

    def __str__(self) -> str:
        it = self.published
        zeros = f", {100 * it.zeros:.0f} % of weights zero" if it.zeros else ""
        return (
            f"estimate {self.estimated_ms:.2f} ms, {it.nature} {it.milliseconds:g} ms: {_percent(self.error)} "
            f"({it.model}, length {it.length}, batch {it.batch}, {it.precision}{zeros}; {it.source}"
            f"{f'; {it.caveat}' if it.caveat else ''})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        published = self.published.model_dump(mode="json", by_alias=True)
        return {"estimated_ms": self.estimated_ms, "published": published, "error": self.error}


@dataclass(frozen=True)
class Estimate:
    """Milliseconds of one request on a device, computed and not measured; printed never without the word estimate.

    block_estimated_ms [blocks]: attention blocks, then FFN blocks; with fixed_estimated_ms they make up estimated_ms.
    assumptions: of the device file and of its model. errors: of the same model against published times.
    """

    device: str
    kind: str
    estimated_ms: float
    fixed_estimated_ms: float
    block_estimated_ms: tuple[float, ...]
    length: int
    batch: int
    precision: Precision
    assumptions: tuple[str, ...]
    errors: tuple[EstimateError, ...]

    @property
    def checked(self) -> str:
        """How far the same model is from published times, in words."""
        if not self.errors:
            return "checked against no published time"
        if len(self.errors) == 1:
            return f"error against the one published time {_percent(self.errors[0].error)}"
        shares = sorted(error.error for error in self.errors)
        return f"error against {len(shares)} published times {_percent(shares[0])} to {_percent(shares[-1])}"

    def __str__(self) -> str:
        return (
            f"estimate {self.estimated_ms:.2f} ms on {self.device} (length {self.length}, batch {self.batch}, "
            f"{self.precision}; {self.kind}; {self.checked})"
        )

    def __format__(self, spec: str) -> str:
        """With a number's format, the milliseconds and the word; without, all of it."""
        return f"{self.estimated_ms:{spec}} ms (estimate)" if spec else str(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "errors": [error.to_dict() for error in self.errors], "is": "estimate"}


def _percent(share: float) -> str:
    return f"{round(100 * share):+d} %"


def estimate(
    device: Device,
    architecture: Architecture,
    shape: ModelShape,
    *,
    length: int,
    batch: int = 1,
    precision: Precision = "float32",
) -> Estimate:
    """The estimated time of an architecture on a device that has a model.

    shape: of the dense model. length: tokens of each sequence, padding included.

    Raises: ConfigError when the device is measured, the architecture doesn't fit the shape, or the device's model says
    nothing about such work.
    """
    work = Work(shape, length, batch, precision)
    model = _checked_model(device, work, architecture.check(shape))
    blocks, fixed = _blocks_ms(model, work, architecture), model.fixed_ms(work)
    return Estimate(
        device=device.name,
        kind=str(device.kind),
        estimated_ms=fixed + sum(blocks),
        fixed_estimated_ms=fixed,
        block_estimated_ms=blocks,
        length=length,
        batch=batch,
        precision=precision,
        assumptions=(*device.assumptions, *model.caveats),
        errors=published_errors(device),
    )


def _checked_model(device: Device, work: Work, architecture: Architecture) -> Estimator:
    model = estimator_of(device)
    try:
        model.check(work, architecture)
    except ConfigError as error:
        raise ConfigError(f"device {device.name}: {error}") from None
    return model


def _blocks_ms(model: Estimator, work: Work, architecture: Architecture) -> tuple[float, ...]:
    widths = (*architecture.heads, *architecture.ffn)
    return tuple(model.block_ms(work, block, width) for block, width in enumerate(widths))


def published_errors(device: Device) -> tuple[EstimateError, ...]:
    """The estimate of each published time of a device file, in its order; none where the device is measured."""
    if device.estimate is None:
        return ()
    return tuple(EstimateError(one, _published_ms(device.estimate, one)) for one in device.published)


def _published_ms(model: Estimator, one: Published) -> float:
    shape = REFERENCE_SHAPES[one.model]
    work, dense = Work(shape, one.length, one.batch, one.precision), Architecture.dense(shape)
    model.check(work, dense)
    return model.with_zeros(model.fixed_ms(work) + sum(_blocks_ms(model, work, dense)), one.zeros)


def estimated_table(
    device: Device,
    shape: ModelShape,
    grid: Grid,
    *,
    length: int,
    batch: int = 1,
    precision: Precision = "float32",
) -> CostTable:
    """The cost table, in whole ns, of a device that has a model: for latency budgets and for pricing a front.

    Raises: as `estimate`, for the dense model.
    """
    work = Work(shape, length, batch, precision)
    model = _checked_model(device, work, Architecture.dense(shape))
    rows = [[1e6 * model.block_ms(work, block, width) for width in row] for block, row in enumerate(grid.allowed)]
    return measured_table("ns", 1e6 * model.fixed_ms(work), rows, grid)

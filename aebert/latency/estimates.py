"""What architectures would cost on a device that isn't at hand. Every number here is an estimate, and is called one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from aebert.errors import ConfigError
from aebert.latency.devices import Device, Published, estimator_of
from aebert.latency.estimators import Estimator, Precision, Work
from aebert.latency.references import REFERENCE_SHAPES
from aebert.latency.workload import FileForm, Workload
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.space import Grid
from aebert.search.table import CostTable, measured_table
from aebert.sections import digest, plain

_NS = 1e6  # per ms


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
    """Milliseconds of one request on a device, computed and not measured; never printed without the word estimate.

    block_estimated_ms [blocks]: attention blocks, then FFN blocks; with fixed_estimated_ms they make up estimated_ms.
    assumptions: of the device file and of its estimator. errors: of the same estimator against published times.
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
        """How far the same estimator is from published times, in words."""
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
    """The estimated time of an architecture on a device that has an estimator.

    shape: of the dense model. length: tokens of each sequence, padding included.

    Raises: ConfigError when the device is measured, the architecture doesn't fit the shape, or the device's estimator
    doesn't cover such work.
    """
    work = Work(shape, length, batch, precision)
    estimator = _checked_estimator(device, work, architecture.check(shape))
    blocks, fixed = _blocks_ms(estimator, work, architecture), estimator.fixed_ms(work)
    return Estimate(
        device=device.name,
        kind=str(device.kind),
        estimated_ms=fixed + sum(blocks),
        fixed_estimated_ms=fixed,
        block_estimated_ms=blocks,
        length=length,
        batch=batch,
        precision=precision,
        assumptions=(*device.assumptions, *estimator.caveats),
        errors=published_errors(device),
    )


def _checked_estimator(device: Device, work: Work, architecture: Architecture) -> Estimator:
    estimator = estimator_of(device)
    try:
        estimator.check(work, architecture)
    except ConfigError as error:
        raise ConfigError(f"device {device.name}: {error}") from None
    return estimator


def _blocks_ms(estimator: Estimator, work: Work, architecture: Architecture) -> tuple[float, ...]:
    widths = (*architecture.heads, *architecture.ffn)
    return tuple(estimator.block_ms(work, block, width) for block, width in enumerate(widths))


def published_errors(device: Device) -> tuple[EstimateError, ...]:
    """The estimate of each published time of a device file, in its order; none where the device is measured."""
    if device.estimate is None:
        return ()
    return tuple(EstimateError(one, _published_ms(device.estimate, one)) for one in device.published)


def _published_ms(estimator: Estimator, one: Published) -> float:
    shape = REFERENCE_SHAPES[one.model]
    work, dense = Work(shape, one.length, one.batch, one.precision), Architecture.dense(shape)
    estimator.check(work, dense)
    return estimator.with_zeros(estimator.fixed_ms(work) + sum(_blocks_ms(estimator, work, dense)), one.zeros)


def estimated_table(
    device: Device,
    shape: ModelShape,
    grid: Grid,
    *,
    length: int,
    batch: int = 1,
    precision: Precision = "float32",
) -> CostTable:
    """The cost table, in whole ns, of a device that has an estimator.

    Raises: as `estimate`, for the dense model.
    """
    work = Work(shape, length, batch, precision)
    estimator = _checked_estimator(device, work, Architecture.dense(shape))
    rows = [[_NS * estimator.block_ms(work, block, width) for width in row] for block, row in enumerate(grid.allowed)]
    return measured_table("ns", _NS * estimator.fixed_ms(work), rows, grid)


@dataclass(frozen=True)
class EstimatedPrices:
    """Prices of an encoder's blocks by a device's estimator; a `PriceSource`.

    device: has an estimator. shape: of the dense model. form: of the files, which is the precision of the estimate.
    """

    device: Device
    shape: ModelShape
    form: FileForm

    @property
    def name(self) -> str:
        """The device, marked as estimated."""
        return f"{self.device.name} (estimate)"

    @property
    def estimated(self) -> bool:
        """True: no time is measured."""
        return True

    @property
    def dense(self) -> Architecture:
        """The encoder's own widths."""
        return Architecture.dense(self.shape)

    @property
    def digest(self) -> str:
        """Digest of what prices follow from, besides the workload: the estimator, its parameters and the form."""
        return digest(self.device.kind, plain(estimator_of(self.device)), self.form)

    def check(self, shape: ModelShape | None, form: FileForm, workload: Workload) -> None:
        """Raise ConfigError for another encoder or form, for several threads, or for work that has no estimate.

        The threads are those of the device file.
        """
        if form != self.form or shape not in (None, self.shape):
            raise ConfigError(f"estimates for {self.device.name} must be of the encoder and the form that they are for")
        if workload.threads != 1:
            raise ConfigError(
                f"threads must be left out for device {self.device.name!r}, got {workload.threads}: "
                "its file says what the estimate is for"
            )
        try:
            self.estimate(self.dense, workload)
        except ConfigError as error:
            raise ConfigError(
                f"{error}; the files are {self.form}: choose another form (deploy.int8, --form) or another device"
            ) from None

    def estimate(self, architecture: Architecture, workload: Workload) -> Estimate:
        """The estimated time of one request."""
        length, batch = workload.length, workload.batch
        return estimate(self.device, architecture, self.shape, length=length, batch=batch, precision=self.form)

    def predict(self, architecture: Architecture, workload: Workload) -> float:
        """Estimated milliseconds of one request."""
        return self.estimate(architecture, workload).estimated_ms

    def cost_table(self, workload: Workload, grid: Grid) -> CostTable:
        """What every block costs at every level of a grid, in ns."""
        length, batch = workload.length, workload.batch
        return estimated_table(self.device, self.shape, grid, length=length, batch=batch, precision=self.form)

    def margin(self, workload: Workload) -> float:
        """0: the known errors are those of other models at other lengths, and far beyond a margin."""
        return 0.0

    def measured_here(self) -> bool:
        """False: the device isn't at hand."""
        return False

    def describe(self, workload: Workload) -> str:
        """The device and how its requests are run, in one line."""
        return f"{self.name}, {workload.length} tokens, batch {workload.batch}"

    def remarks(self, workload: Workload) -> tuple[str, ...]:
        """What is estimated and how, its errors against published times, and what is assumed."""
        dense = self.estimate(self.dense, workload)
        return (
            f"an estimate, not a measurement: {self.describe(workload)}, {self.form}, {dense.kind}",
            f"{dense.checked} (`aebert devices show` lists them)",
            *(f"assumed: {each}" for each in dense.assumptions),
        )

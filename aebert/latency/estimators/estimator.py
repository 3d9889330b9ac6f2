"""What an estimator is: parameters with units in their names, and milliseconds that add up over blocks."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator

from aebert.latency.estimators.work import Work
from aebert.pruning.architecture import Architecture
from aebert.sections import Section


def plausible(low: float, high: float, unit: str) -> BeforeValidator:
    """A rule for a number in a stated unit: outside of what is plausible, the error names the unit."""

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be a plain number in {unit}")
        if not low <= value <= high:
            raise ValueError(f"must be {low:g} to {high:g} {unit}; check the unit")
        return value

    return BeforeValidator(check)


PlausibleShare = Annotated[float, plausible(0.001, 1, "(a share)")]
Milliseconds = Annotated[float, plausible(0.001, 1e6, "ms")]
Microseconds = Annotated[float, plausible(0, 1e6, "µs")]
Megahertz = Annotated[float, plausible(10, 5000, "MHz")]
Gigahertz = Annotated[float, plausible(0.05, 10, "GHz")]
GigabytesPerSecond = Annotated[float, plausible(0.01, 10_000, "GB/s")]
Megabytes = Annotated[float, plausible(0.001, 100_000, "MB")]
MacsPerCycle = Annotated[float, plausible(0.01, 10_000, "multiply-accumulates per cycle")]


class Estimator(Section):
    """The model of a device. Its fields are the parameters under `estimate` of a device file, besides `kind`.

    The time of an architecture is `fixed_ms` plus the sum of `block_ms` over its blocks. `block_ms` must not fall with
    the width, since a search uses it as a cost table.

    caveats: assumptions of the model itself, whatever its parameters.
    """

    caveats: ClassVar[tuple[str, ...]] = ()

    def check(self, work: Work, architecture: Architecture) -> None:
        """Raise ConfigError where the model does not cover such work."""

    @abstractmethod
    def fixed_ms(self, work: Work) -> float:
        """Milliseconds that no pruning removes."""

    @abstractmethod
    def block_ms(self, work: Work, block: int, width: int) -> float:
        """Milliseconds of a block of `width` units; attention blocks first, then FFN blocks."""

    def with_zeros(self, milliseconds: float, share: float) -> float:
        """The time with a share of the weights set to zero and all shapes kept: the same, unless the device skips."""
        return milliseconds

"""How a sub-network is made: its architecture, what it is cut from, and whether it is repaired once more."""

from __future__ import annotations

from dataclasses import dataclass

from aebert.pruning.architecture import Architecture


@dataclass(frozen=True)
class Recipe:
    """All that makes one candidate differ from another of the same dense model and calibration rows.

    base: the sub-network whose block library it is put together from, and which it is no wider than; None for the
      library of the dense model. repaired: whether its output projections are fitted once more, one after the other
      (see `aebert.pruning.sequential`).
    """

    architecture: Architecture
    repaired: bool = False
    base: Recipe | None = None

    @property
    def unrepaired(self) -> Recipe:
        """The same, as it comes out of the library."""
        return Recipe(self.architecture, False, self.base)

    @property
    def as_repaired(self) -> Recipe:
        """The same, repaired."""
        return Recipe(self.architecture, True, self.base)

    def to_dict(self) -> dict[str, object]:
        """Plain values, with those of its bases inside; they name a recipe in digests."""
        base = None if self.base is None else self.base.to_dict()
        return {"architecture": self.architecture.to_dict(), "repaired": self.repaired, "base": base}

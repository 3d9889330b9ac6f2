"""Device models for hardware that isn't at hand. Their numbers are estimates, and are called so wherever they go."""

from aebert.profiling.estimates import linear_sparsity, roofline, tiled_fpga  # noqa: F401  they register themselves
from aebert.profiling.estimates.base import ESTIMATORS, Estimator
from aebert.profiling.estimates.work import Precision, Work

__all__ = ["ESTIMATORS", "Estimator", "Precision", "Work"]

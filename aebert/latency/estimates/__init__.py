"""Device models for hardware that isn't at hand. Their numbers are estimates, and are called so wherever they go."""

from aebert.latency.estimates import linear_sparsity, roofline, tiled_fpga  # noqa: F401  they register themselves
from aebert.latency.estimates.estimator import ESTIMATORS, Estimator
from aebert.latency.estimates.work import Precision, Work

__all__ = ["ESTIMATORS", "Estimator", "Precision", "Work"]

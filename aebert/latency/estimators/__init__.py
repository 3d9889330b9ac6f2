"""Estimators: models of hardware that isn't at hand. Their numbers are called estimates wherever they are shown."""

from aebert.latency.estimators.estimator import Estimator
from aebert.latency.estimators.linear_sparsity import LinearSparsity
from aebert.latency.estimators.roofline import Roofline
from aebert.latency.estimators.tiled_fpga import TiledFpga
from aebert.latency.estimators.work import Precision, Work
from aebert.registry import Registry

__all__ = ["ESTIMATORS", "Estimator", "Precision", "Work"]

ESTIMATORS: Registry[type[Estimator]] = Registry("kind of estimate")
ESTIMATORS.add("linear_sparsity", LinearSparsity)
ESTIMATORS.add("roofline", Roofline)
ESTIMATORS.add("tiled_fpga", TiledFpga)

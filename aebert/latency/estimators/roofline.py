"""A processor as a roofline: a block takes as long as its products, or as reading its weights from memory."""

from __future__ import annotations

from collections.abc import Sequence

from aebert.errors import ConfigError
from aebert.latency.estimators.estimator import (
    Estimator,
    GigabytesPerSecond,
    Gigahertz,
    MacsPerCycle,
    Microseconds,
    PlausibleShare,
)
from aebert.latency.estimators.work import BYTES, Precision, Product, Work, block_products, fixed_products
from aebert.pruning.architecture import Architecture
from aebert.sections import Positive


class Roofline(Estimator):
    """max(compute, memory) of each block, and an overhead.

    cores, threads: what there is, and what is used. clock_ghz: while computing.
    macs_per_cycle: by precision, the most of one core. efficiency: by precision, the share of it that products reach.
    memory_gb_per_s: what reading weights reaches, all threads together; every request reads all weights once.
    block_overhead_us: norm, softmax, activation and starting the threads, of a block. fixed_us: of a request.
    Source: Williams et al. 2009, doi:10.1145/1498765.1498785.
    """

    cores: Positive
    threads: Positive
    clock_ghz: Gigahertz
    macs_per_cycle: dict[Precision, MacsPerCycle]
    efficiency: dict[Precision, PlausibleShare]
    memory_gb_per_s: GigabytesPerSecond
    block_overhead_us: Microseconds
    fixed_us: Microseconds

    caveats = (
        "weights come from memory for every request and activations from cache",
        "threads share the work evenly; no throttling; embeddings and output layer are not counted",
    )

    def check(self, work: Work, architecture: Architecture) -> None:
        """A rate for the precision, and cores for the threads."""
        for name in ("macs_per_cycle", "efficiency"):
            if work.precision not in getattr(self, name):
                raise ConfigError(f"{name} must have {work.precision}, got only {', '.join(getattr(self, name))}")
        if self.threads > self.cores:
            raise ConfigError(f"threads must be at most the {self.cores} cores, got {self.threads}")

    def fixed_ms(self, work: Work) -> float:
        """What a request costs besides its blocks."""
        return self.fixed_us / 1e3 + self._ms(fixed_products(work), work.precision)

    def block_ms(self, work: Work, block: int, width: int) -> float:
        """The longer of computing and reading, and the overhead; nothing where the block is empty."""
        products = block_products(work, block, width)
        return self.block_overhead_us / 1e3 + self._ms(products, work.precision) if products else 0.0

    def _ms(self, products: Sequence[Product], precision: Precision) -> float:
        rate = self.threads * self.clock_ghz * self.macs_per_cycle[precision] * self.efficiency[precision]
        computing = sum(product.macs for product in products) / (rate * 1e6)
        reading = sum(product.parameters for product in products) * BYTES[precision] / (self.memory_gb_per_s * 1e6)
        return max(computing, reading)

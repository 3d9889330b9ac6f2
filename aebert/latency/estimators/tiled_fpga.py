"""An array of multipliers on an FPGA that computes products in tiles, with weights from memory on or off the chip."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from aebert.errors import ConfigError
from aebert.latency.estimators.estimator import (
    Estimator,
    GigabytesPerSecond,
    MacsPerCycle,
    Megabytes,
    Megahertz,
    Microseconds,
    PlausibleShare,
)
from aebert.latency.estimators.work import BYTES, Precision, Product, Work, block_products, fixed_products
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost
from aebert.sections import Positive


class TiledFpga(Estimator):
    """One array for all products, used block after block.

    dsp_slices, dsp_share: multipliers that a design may use, and the share of them that the array gets.
    macs_per_dsp_per_cycle: by precision; below 1 where a multiply-accumulate takes several slices.
    tile_tokens, tile_inner, tile_columns: a product [tokens, inner, columns] is rounded up to whole tiles of this size.
    tile_overhead_cycles: to fill and drain the array, for each tile.
    weights: `ddr` streams them for every request, while the array computes; `on_chip` holds them, all or nothing.
    memory_gb_per_s, memory_share: bandwidth of that stream, and the share of it that a stream reaches.
    block_overhead_us: softmax, norm, activation and control of a block. fixed_us: of a request.
    """

    dsp_slices: Positive
    dsp_share: PlausibleShare
    clock_mhz: Megahertz
    macs_per_dsp_per_cycle: dict[Precision, MacsPerCycle]
    tile_tokens: Positive
    tile_inner: Positive
    tile_columns: Positive
    tile_overhead_cycles: Annotated[int, Field(ge=0)]
    weights: Literal["ddr", "on_chip"]
    memory_gb_per_s: GigabytesPerSecond
    memory_share: PlausibleShare
    on_chip_mb: Megabytes
    block_overhead_us: Microseconds
    fixed_us: Microseconds

    caveats = (
        "one array computes all blocks one after the other; streaming weights hides behind computing, or the reverse",
        "embeddings and output layer are not counted",
    )

    def check(self, work: Work, architecture: Architecture) -> None:
        """A rate for the precision, and room for weights that are to stay on the chip."""
        if work.precision not in self.macs_per_dsp_per_cycle:
            known = ", ".join(self.macs_per_dsp_per_cycle)
            raise ConfigError(f"macs_per_dsp_per_cycle must have {work.precision}, got only {known}")
        size = cost(architecture, work.shape, 1).encoder_params * BYTES[work.precision] / 1e6
        if self.weights == "on_chip" and size > self.on_chip_mb:
            raise ConfigError(
                f"weights on_chip must fit on_chip_mb {self.on_chip_mb:g}: the encoder has {size:.1f} MB as "
                f"{work.precision}; set weights: ddr"
            )

    def fixed_ms(self, work: Work) -> float:
        """What a request costs besides its blocks."""
        return self.fixed_us / 1e3 + self._ms(fixed_products(work), work.precision)

    def block_ms(self, work: Work, block: int, width: int) -> float:
        """The longer of computing and streaming, and the overhead; nothing where the block is empty."""
        products = block_products(work, block, width)
        return self.block_overhead_us / 1e3 + self._ms(products, work.precision) if products else 0.0

    def _ms(self, products: Sequence[Product], precision: Precision) -> float:
        computing = sum(self._cycles(product, precision) for product in products) / (self.clock_mhz * 1e3)
        padded = sum(self._padded_weights(product) for product in products)
        streaming = padded * BYTES[precision] / (self.memory_gb_per_s * self.memory_share * 1e6)
        return max(computing, streaming if self.weights == "ddr" else 0.0)

    def _cycles(self, product: Product, precision: Precision) -> float:
        rate = int(self.dsp_slices * self.dsp_share) * self.macs_per_dsp_per_cycle[precision]
        tile = self.tile_tokens * self.tile_inner * self.tile_columns
        tiles = ceil(product.rows / self.tile_tokens) * self._weight_tiles(product)
        return tiles * (ceil(tile / rate) + self.tile_overhead_cycles)

    def _weight_tiles(self, product: Product) -> int:
        return ceil(product.inner / self.tile_inner) * ceil(product.columns / self.tile_columns) * product.count

    def _padded_weights(self, product: Product) -> int:
        return self._weight_tiles(product) * self.tile_inner * self.tile_columns if product.weights else 0

"""The matrix products of an encoder, as device models count them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aebert.errors import ConfigError
from aebert.models.shape import ModelShape

Precision = Literal["float32", "int16", "int8"]
BYTES: dict[Precision, int] = {"float32": 4, "int16": 2, "int8": 1}


@dataclass(frozen=True)
class Work:
    """What a device is asked to do: `batch` sequences of `length` tokens through an encoder of a shape.

    precision: of weights and products.
    """

    shape: ModelShape
    length: int
    batch: int = 1
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name in ("length", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of an estimate must be at least 1, got {getattr(self, name)}")
        if self.precision not in BYTES:
            raise ConfigError(f"precision of an estimate must be one of {', '.join(BYTES)}, got {self.precision!r}")

    @property
    def blocks(self) -> int:
        """Attention blocks, then FFN blocks."""
        return len(self.shape.heads) + len(self.shape.ffn)


@dataclass(frozen=True)
class Product:
    """`count` times a matrix [rows, inner] by one [inner, columns]; weights: whether the latter are parameters."""

    rows: int
    inner: int
    columns: int
    count: int
    weights: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all of them."""
        return self.rows * self.inner * self.columns * self.count

    @property
    def parameters(self) -> int:
        """Weights that are read for all of them; 0 for the products of attention."""
        return self.inner * self.columns * self.count if self.weights else 0


def block_products(work: Work, block: int, width: int) -> tuple[Product, ...]:
    """The products of a block of `width` units; attention blocks first, then FFN blocks. An empty block has none.

    The widths that a block's matrices read and write are not in the shape, only their sum: each is taken for their
    mean. That is exact but for MobileBERT, whose value projection reads 512 where query and key read 128.
    """
    if width == 0:
        return ()
    shape, tokens = work.shape, work.length * work.batch
    if block >= shape.layers:
        outer = shape.ffn_macs[block - shape.layers] // 2
        return Product(tokens, outer, width, 1, True), Product(tokens, width, outer, 1, True)
    outer, inner = shape.head_macs[block] // (4 * shape.head_size), width * shape.head_size
    maps = width * work.batch
    return (
        Product(tokens, outer, inner, 3, True),
        Product(work.length, shape.head_size, work.length, maps, False),
        Product(work.length, work.length, shape.head_size, maps, False),
        Product(tokens, inner, outer, 1, True),
    )


def fixed_products(work: Work) -> tuple[Product, ...]:
    """The products of the encoder that no pruning removes (MobileBERT's bottlenecks), as one matrix per layer."""
    shape = work.shape
    if shape.fixed_macs == 0:
        return ()
    columns = -(-shape.fixed_macs // (shape.hidden * shape.layers))
    return (Product(work.length * work.batch, shape.hidden, columns, shape.layers, True),)

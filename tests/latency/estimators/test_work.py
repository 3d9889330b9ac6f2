from __future__ import annotations

import pytest

from aebert.errors import ConfigError
from aebert.latency.estimators.work import Product, Work, block_products, fixed_products
from aebert.models.counting import shape_of
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost


def test_products_of_an_attention_block_by_hand(toy_shape: ModelShape) -> None:
    # 1 of 2 heads of size 4; 3 sequences of 5 tokens
    assert block_products(Work(shape=toy_shape, length=5, batch=3), 0, 1) == (
        Product(rows=15, inner=8, columns=4, count=3, weights=True),
        Product(rows=5, inner=4, columns=5, count=3, weights=False),
        Product(rows=5, inner=5, columns=4, count=3, weights=False),
        Product(rows=15, inner=4, columns=8, count=1, weights=True),
    )


def test_products_of_an_ffn_block_by_hand(toy_shape: ModelShape) -> None:
    assert block_products(Work(shape=toy_shape, length=5, batch=3), 2, 6) == (
        Product(rows=15, inner=8, columns=6, count=1, weights=True),
        Product(rows=15, inner=6, columns=8, count=1, weights=True),
    )


def test_an_empty_block_has_no_products(toy_shape: ModelShape) -> None:
    assert block_products(Work(toy_shape, 5), 1, 0) == block_products(Work(toy_shape, 5), 3, 0) == ()


def test_products_count_weights_and_macs() -> None:
    product = Product(rows=3, inner=5, columns=7, count=2, weights=True)
    assert (product.macs, product.parameters) == (210, 70)
    assert Product(rows=3, inner=5, columns=7, count=2, weights=False).parameters == 0


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "electra", "mobilebert"])
def test_all_macs_are_in_the_products(tiny_model: object, family: str) -> None:
    """The search's own count is the oracle, for every family."""
    shape = shape_of(tiny_model(family))  # type: ignore[operator]
    work = Work(shape, 16)
    widths = (*shape.heads, *shape.ffn)
    found = [
        *fixed_products(work),
        *(p for block, width in enumerate(widths) for p in block_products(work, block, width)),
    ]
    wanted = cost(Architecture.dense(shape), shape, 16).macs
    assert sum(product.macs for product in found) == pytest.approx(wanted, rel=0.02)
    if family != "mobilebert":  # there the mean of unequal widths is a whole number only by chance
        assert sum(product.macs for product in found) == wanted


@pytest.mark.parametrize(("field", "value"), [("length", 0), ("batch", -1)])
def test_work_needs_tokens(toy_shape: ModelShape, field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} of an estimate must be at least 1, got {value}$"):
        Work(toy_shape, **{"length": 4, field: value})  # type: ignore[arg-type]


def test_a_precision_that_is_not_known(toy_shape: ModelShape) -> None:
    with pytest.raises(ConfigError, match=r"must be one of float32, int16, int8, got 'int4'"):
        Work(shape=toy_shape, length=4, batch=1, precision="int4")  # type: ignore[arg-type]

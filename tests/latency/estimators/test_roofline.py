from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError
from aebert.latency.estimators.roofline import Roofline
from aebert.latency.estimators.work import Work
from aebert.latency.references import bert_shape
from aebert.pruning.architecture import Architecture

SHAPE = bert_shape(8, 2, 2, 16)


def board(**other: Any) -> Roofline:
    """Two of four cores at 0.1 GHz, 10 MACs per cycle at half: 1,000 MACs per µs; 1,000 bytes per µs."""
    values = {
        "cores": 4,
        "threads": 2,
        "clock_ghz": 0.1,
        "macs_per_cycle": {"float32": 10, "int8": 40},
        "efficiency": {"float32": 0.5, "int8": 0.25},
        "memory_gb_per_s": 1,
        "block_overhead_us": 0,
        "fixed_us": 0,
    }
    return Roofline.model_validate(values | other)


def test_a_short_request_waits_for_its_weights() -> None:
    # 4 tokens, 6 neurons: 2 · 8 · 6 = 96 weights; 384 MACs take 0.384 µs, as many bytes too
    assert board().block_ms(Work(SHAPE, 4), 2, 6) == pytest.approx(0.384e-3)
    # one token: 96 MACs, but the same bytes
    assert board().block_ms(Work(SHAPE, 1), 2, 6) == pytest.approx(0.384e-3)


def test_a_long_request_computes() -> None:
    # 8 tokens, 1 head: 4 · 8 · 4 = 128 weights · 8 tokens, and scores 2 · 8 · 8 · 4; attention reads 512 bytes
    assert board().block_ms(Work(SHAPE, 8), 0, 1) == pytest.approx((1024 + 512) / 1e6)
    # two sequences take turns: twice the work
    assert board().block_ms(Work(shape=SHAPE, length=8, batch=2), 0, 1) == pytest.approx(2 * (1024 + 512) / 1e6)


def test_int8_reads_a_quarter_and_has_its_own_rate() -> None:
    assert board().block_ms(Work(shape=SHAPE, length=1, batch=1, precision="int8"), 2, 6) == pytest.approx(0.096e-3)
    # 40 · 0.25 = 10 MACs per cycle: 2,000 per µs
    assert board().block_ms(Work(shape=SHAPE, length=100, batch=1, precision="int8"), 2, 6) == pytest.approx(
        9600 / 2000 / 1000
    )


def test_threads_share_products_but_not_memory() -> None:
    one, two = board(threads=1), board(threads=2)
    assert one.block_ms(Work(SHAPE, 100), 2, 6) == pytest.approx(2 * two.block_ms(Work(SHAPE, 100), 2, 6))
    assert one.block_ms(Work(SHAPE, 1), 2, 6) == two.block_ms(Work(SHAPE, 1), 2, 6)


def test_overheads_are_of_blocks_that_are_there_and_of_the_request() -> None:
    model = board(block_overhead_us=100, fixed_us=300)
    assert model.block_ms(Work(SHAPE, 1), 2, 6) == pytest.approx(0.100384)
    assert model.block_ms(Work(SHAPE, 1), 2, 0) == 0.0
    assert model.fixed_ms(Work(SHAPE, 1)) == pytest.approx(0.3)


def test_zeros_do_not_help_a_processor() -> None:
    assert board().with_zeros(5.0, 0.9) == 5.0


@pytest.mark.parametrize(
    ("other", "precision", "message"),
    [
        ({}, "int16", r"macs_per_cycle must have int16, got only float32, int8"),
        ({"efficiency": {"float32": 1}}, "int8", r"efficiency must have int8, got only float32"),
        ({"threads": 5}, "int8", r"threads must be at most the 4 cores, got 5"),
    ],
)
def test_what_the_board_cannot_do_is_refused(other: dict[str, Any], precision: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        board(**other).check(Work(shape=SHAPE, length=4, batch=1, precision=precision), Architecture.dense(SHAPE))


@given(width=st.integers(0, 15), length=st.integers(1, 300))
def test_a_wider_block_is_never_cheaper(width: int, length: int) -> None:
    work = Work(SHAPE, length)
    assert board(block_overhead_us=1).block_ms(work, 2, width) <= board(block_overhead_us=1).block_ms(
        work, 2, width + 1
    )

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError
from aebert.latency.estimators.tiled_fpga import TiledFpga
from aebert.latency.estimators.work import Work
from aebert.latency.references import bert_shape
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture

SHAPE = bert_shape(8, 2, 2, 16)


def fpga(**other: Any) -> TiledFpga:
    """100 slices of one MAC per cycle at 10 MHz: 1,000 MACs per µs; tiles of 5 by 4 by 4 take 1 cycle."""
    values = {
        "dsp_slices": 200,
        "dsp_share": 0.5,
        "clock_mhz": 10,
        "macs_per_dsp_per_cycle": {"int8": 1, "float32": 0.2},
        "tile_tokens": 5,
        "tile_inner": 4,
        "tile_columns": 4,
        "tile_overhead_cycles": 0,
        "weights": "ddr",
        "memory_gb_per_s": 1000,
        "memory_share": 1,
        "on_chip_mb": 1,
        "block_overhead_us": 0,
        "fixed_us": 0,
    }
    return TiledFpga.model_validate(values | other)


def test_an_ffn_block_by_hand() -> None:
    work = Work(shape=SHAPE, length=5, batch=1, precision="int8")
    # [5, 8] by [8, 6]: 1 · 2 · 2 tiles; [5, 6] by [6, 8]: 1 · 2 · 2 tiles; a cycle is 0.1 µs
    assert fpga().block_ms(work, 2, 6) == pytest.approx(8 * 0.1e-3)
    assert fpga(tile_overhead_cycles=3).block_ms(work, 2, 6) == pytest.approx(8 * 4 * 0.1e-3)
    assert fpga(block_overhead_us=7).block_ms(work, 2, 6) == pytest.approx(0.0078)


def test_an_attention_block_by_hand() -> None:
    # per head: three projections of 2 tiles, scores [5, 4] by [4, 5] 2 tiles, sum [5, 5] by [5, 4] 2, output 2
    assert fpga().block_ms(Work(shape=SHAPE, length=5, batch=1, precision="int8"), 0, 1) == pytest.approx(12 * 0.1e-3)
    # twice the sequences: projections have 10 tokens, attention is done twice
    assert fpga().block_ms(Work(shape=SHAPE, length=5, batch=2, precision="int8"), 0, 1) == pytest.approx(24 * 0.1e-3)


def test_widths_and_tokens_are_rounded_up_to_tiles() -> None:
    model, work = fpga(), Work(shape=SHAPE, length=5, batch=1, precision="int8")
    times = [model.block_ms(work, 2, width) for width in (1, 4, 5, 8)]
    assert times[0] == times[1] < times[2] == times[3]
    assert model.block_ms(Work(shape=SHAPE, length=6, batch=1, precision="int8"), 2, 4) == 2 * times[0]


def test_a_slower_precision_takes_more_cycles() -> None:
    # 80 MACs of a tile at 20 per cycle
    assert fpga().block_ms(Work(shape=SHAPE, length=5, batch=1, precision="float32"), 2, 4) == pytest.approx(
        4 * 4 * 0.1e-3
    )


def test_streaming_weights_is_the_floor_where_it_takes_longer() -> None:
    work = Work(shape=SHAPE, length=5, batch=1, precision="int8")
    # 8 · 8 padded weights (6 columns are 8), in and out, at 0.1 GB/s · 0.1 = 10 bytes per µs
    slow = fpga(memory_gb_per_s=0.1, memory_share=0.1)
    assert slow.block_ms(work, 2, 6) == pytest.approx(128 / 10 / 1000)
    assert fpga(memory_gb_per_s=0.1, memory_share=0.1, weights="on_chip").block_ms(work, 2, 6) == pytest.approx(0.8e-3)


def test_weights_on_the_chip_must_fit() -> None:
    dense, model = Architecture.dense(SHAPE), fpga(weights="on_chip", on_chip_mb=0.001)
    # 2 layers of 2 · 140 + 16 · 17 + 48 = 600 parameters
    with pytest.raises(ConfigError, match=r"must fit on_chip_mb 0\.001: the encoder has 0\.0 MB as int8; set weights"):
        model.check(Work(shape=SHAPE, length=5, batch=1, precision="int8"), dense)
    model.check(Work(shape=SHAPE, length=5, batch=1, precision="int8"), Architecture((2, 0), (16, 0)))
    fpga(on_chip_mb=0.001).check(Work(shape=SHAPE, length=5, batch=1, precision="int8"), dense)


def test_a_precision_without_a_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must have int16, got only int8, float32"):
        fpga().check(Work(shape=SHAPE, length=5, batch=1, precision="int16"), Architecture.dense(SHAPE))


def test_empty_blocks_cost_nothing_and_a_request_something() -> None:
    work = Work(shape=SHAPE, length=5, batch=1, precision="int8")
    assert fpga(block_overhead_us=9).block_ms(work, 0, 0) == 0.0
    assert fpga(fixed_us=9).fixed_ms(work) == pytest.approx(0.009)


@given(width=st.integers(0, 15), block=st.sampled_from([0, 2]), tile=st.integers(1, 9))
def test_a_wider_block_is_never_cheaper(width: int, block: int, tile: int) -> None:
    model, work = (
        fpga(tile_columns=tile, tile_inner=tile, block_overhead_us=1),
        Work(shape=SHAPE, length=7, batch=2, precision="int8"),
    )
    width = min(width, 1) if block == 0 else width
    assert model.block_ms(work, block, width) <= model.block_ms(work, block, width + 1)


def test_bottlenecks_are_fixed_cost() -> None:
    fixed = ModelShape(**{**SHAPE.to_dict(), "fixed_macs": 64})
    # 64 MACs per token over 2 layers: [5, 8] by [8, 4] each, 2 tiles
    assert fpga().fixed_ms(Work(shape=fixed, length=5, batch=1, precision="int8")) == pytest.approx(4 * 0.1e-3)

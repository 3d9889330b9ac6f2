from __future__ import annotations

import math

import pytest

from aebert.reporting import units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.points(0.8836), "88.4"),
        (units.points(None), "–"),
        (units.points(math.nan), "nan"),
        (units.difference(0.0123), "+1.2"),
        (units.difference(-0.5), "-50.0"),
        (units.difference(-0.0001), "±0.0"),
        (units.difference(math.nan), "–"),
        (units.span((0.25, 0.5)), "25.0–50.0"),
        (units.percent(0.5), "50.0 %"),
        (units.budget(0.3, "sparsity"), "30 %"),
        (units.budget(0.125, "macs"), "12.5 %"),
        (units.budget(11e6, "params"), "11M params"),
        (units.budget(15_500_000.0, "params"), "15.5M params"),
        (units.budget(25_600.0, "params"), "25.6K params"),
        (units.budget(512.0, "params"), "512 params"),
        (units.budget(20.0, "size_mb"), "20 MB"),
        (units.budget(0.045, "size_mb"), "0.045 MB"),
        (units.budget(None, "size_mb"), "–"),
        (units.millions(22_713_216), "22.71"),
        (units.megabytes(1_500_000), "1.5"),
        (units.significant(0.01234), "0.0123"),
        (units.significant(12.345), "12.3"),
        (units.significant(1234.5), "1234"),
        (units.significant(0.0), "0.00"),
        (units.significant(math.inf), "inf"),
        (units.significant(None), "–"),
    ],
)
def test_numbers_as_text(text: str, expected: str) -> None:
    assert text == expected


def test_bars_are_full_only_for_all_and_empty_only_for_none() -> None:
    assert units.bars((0, 1, 6, 11, 12), (12, 12, 12, 12, 12)) == "·▁▄▇█"
    assert units.bars((1, 3071), (3072, 3072)) == "▁▇"

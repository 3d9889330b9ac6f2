from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aebert.search.outcomes import Outcomes

ROWS = st.integers(1, 40)


@given(st.tuples(ROWS, st.integers(1, 3)).flatmap(lambda s: st.tuples(arrays("f4", s[0]), arrays("f4", s))))
def test_outcomes_survive_text_bit_by_bit(values: tuple[np.ndarray, np.ndarray]) -> None:
    outcomes = Outcomes(*values)
    text = outcomes.encode()
    assert text.isascii()
    found = Outcomes.decode(text)
    for mine, theirs in ((outcomes.losses, found.losses), (outcomes.marks, found.marks)):
        assert (mine.dtype, mine.shape, mine.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes())


def test_text_is_small() -> None:
    rng = np.random.default_rng(0)
    label = rng.random(1000) < 0.4
    marks = np.stack([np.where(rng.random(1000) < 0.8, label, ~label), label], axis=1)
    outcomes = Outcomes(rng.exponential(0.4, 1000).astype(np.float32), marks.astype(np.float32))
    assert len(outcomes.encode()) < 7000  # 12,000 bytes as they are; the losses hardly shrink


def test_first_rows_are_the_first() -> None:
    outcomes = Outcomes(np.arange(5, dtype=np.float32), np.arange(10, dtype=np.float32).reshape(5, 2))
    assert outcomes.first(2).losses.tolist() == [0, 1]
    assert outcomes.first(2).marks.tolist() == [[0, 1], [2, 3]]
    assert (len(outcomes), len(outcomes.first(2))) == (5, 2)

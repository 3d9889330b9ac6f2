from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.tasks.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? four", ["One.", "Two!", "Three? four"]),
        ('He said "No." Then (as ever.) He left.', ['He said "No."', "Then (as ever.)", "He left."]),
        ("p was 0.05 vs. 3 of 4. 12 died.", ["p was 0.05 vs. 3 of 4.", "12 died."]),
        ("See Fig. 2, e.g. Table 1, by J. Doe et al. 2020.", ["See Fig. 2, e.g. Table 1, by J. Doe et al. 2020."]),
        ("A title\nA text.\r\n\r\n  Another. ", ["A title", "A text.", "Another."]),
        ("One... Two", ["One...", "Two"]),
        ("今日は。明日は？」はい", ["今日は。", "明日は？」", "はい"]),
        ("", []),
        (" \n ", []),
        ("They won. ", ["They won."]),
        ("Grade I. Next", ["Grade I. Next"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in split_sentences(text)] == sentences


@given(st.text("aB1 .!?\n\"'(。)"))
def test_nothing_but_blanks_is_lost(text: str) -> None:
    found = list(split_sentences(text))
    assert "".join("".join(text[start:end].split()) for start, end in found) == "".join(text.split())
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))

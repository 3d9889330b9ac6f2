from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from aebert.runtime.words import WORD_RULES, Entity, Word, find_entities, join_words, split_words

TEXT = "(U.S. e-mail) 5%,  naïve"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("blanks", ["(U.S.", "e-mail)", "5%,", "naïve"]),
        ("edges", ["(", "U.S", ".", "e-mail", ")", "5", "%", ",", "naïve"]),
        ("marks", ["(", "U", ".", "S", ".", "e", "-", "mail", ")", "5", "%", ",", "naïve"]),
    ],
)
def test_words_by_rule(rule: str, expected: list[str]) -> None:
    words = split_words(TEXT, rule)
    assert [word.text for word in words] == expected
    assert [TEXT[word.start : word.end] for word in words] == expected


@given(text=st.text(), rule=st.sampled_from(WORD_RULES))
def test_words_are_the_text_without_blanks(text: str, rule: str) -> None:
    words = split_words(text, rule)
    assert "".join(word.text for word in words) == "".join(text.split())
    assert all(text[word.start : word.end] == word.text for word in words)
    assert all(one.end <= two.start for one, two in pairwise(words))


def test_marks_keep_letters_with_their_accents_together() -> None:
    assert [word.text for word in split_words("हिन्दी, e\u0301t", "marks")] == ["हिन्दी", ",", "e\u0301t"]


def test_given_words_are_joined_by_blanks() -> None:
    assert join_words(["a", "bc", "d"]) == ("a bc d", [Word("a", 0), Word("bc", 2), Word("d", 5)])


def test_entities_have_offsets_text_and_their_least_sure_word() -> None:
    text = "New  York and Rome"
    words = split_words(text, "blanks")
    found = find_entities(text, words, ["B-LOC", "I-LOC", "O", "I-LOC"], [0.9, 0.5, 0.8, 0.7])
    assert found == (
        Entity(label="LOC", start=0, end=9, text="New  York", probability=0.5),
        Entity(label="LOC", start=14, end=18, text="Rome", probability=0.7),
    )


TAGS = st.lists(st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"]), max_size=12)


@given(tags=TAGS)
def test_entities_are_those_that_the_metric_counts(tags: list[str]) -> None:
    text, words = join_words(["w"] * len(tags))
    found = find_entities(text, words, tags, [1.0] * len(tags))
    mine = [(one.label, one.start // 2, (one.end - 1) // 2) for one in found]
    assert mine == [tuple(one) for one in get_entities(tags)]

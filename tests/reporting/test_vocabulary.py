from __future__ import annotations

import json
import math
from dataclasses import replace

from aebert.pruning.reading import Read
from aebert.reporting.vocabulary import SmallVocabulary, VocabularyCost, vocabulary_lines
from aebert.reporting.vocabulary_table import vocabulary_table

SEARCH = Read("search rows", 10, 200, 5, 300, 330, 1, 2, 0, 0)
NEWS = Read("held-out news.txt", 4, 50, 10, 100, 150, 0, 0, 1, 3)
FOUND = SmallVocabulary(
    whole_pieces=30_522,
    small_pieces=4_000,
    whole_parameters=22_713_986,
    small_parameters=12_529_538,
    read=(SEARCH, NEWS),
    cost=VocabularyCost("accuracy", 10, 0.9, 0.875, -0.05, 0.0),
)


def test_lines_say_what_is_saved_and_what_is_lost() -> None:
    assert list(vocabulary_lines(FOUND)) == [
        "4,000 of 30,522 pieces are kept (13 %): the dense model has 12,529,538 of 22,713,986 parameters, 50.1 "
        "instead of 90.9 MB in float32",
        "search rows: 2.5 % of 200 words fall apart, rows get 10.0 % longer, 2 instead of 1 rows are cut",
        "held-out news.txt: 20.0 % of 50 words fall apart, rows get 50.0 % longer, 3 instead of 1 tokens are unknown",
        "accuracy on the search rows: 87.5 instead of 90.0, -2.5 points (-5.0 to +0.0)",
    ]


def test_values_survive_json() -> None:
    unknown = replace(FOUND, cost=VocabularyCost("accuracy", 1, 0.9, 0.875, math.nan, math.nan))
    for one in (FOUND, replace(FOUND, cost=None)):
        assert SmallVocabulary.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    read = SmallVocabulary.from_dict(json.loads(json.dumps(unknown.to_dict(), allow_nan=False))).cost
    assert read is not None
    assert math.isnan(read.low)
    assert "(" not in list(vocabulary_lines(unknown))[-1]


def test_rows_without_words_lose_nothing() -> None:
    empty = Read("rows", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    assert (empty.broken_share, empty.growth) == (0, 0)
    assert vocabulary_table(replace(FOUND, read=(empty,))).rows[0][4].text == "0.0"


def test_the_table_has_a_line_for_each_kind_of_rows() -> None:
    table = vocabulary_table(FOUND)
    assert [column.title for column in table.columns][3:6] == ["fall apart", "tokens a row", "before"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["search rows", "10", "200", "2.5 %", "33.0", "30.0", "+10.0 %", "2", "1"],
        ["held-out news.txt", "4", "50", "20.0 %", "37.5", "25.0", "+50.0 %", "0", "0"],
    ]
    assert "50.1 instead of 90.9 MB" in table.note
    assert "-2.5 points" in table.note
    assert "Tokens that have become unknown: 2 in held-out news.txt." in table.note

from __future__ import annotations

import pytest

from aebert.errors import DataError
from aebert.tasks.labels import check_names, count_names, hint, is_integer, ordered

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def check(counts: dict[str, int]) -> tuple[str, ...]:
    pairs = [(name, f"a:{line}") for line, name in enumerate(n for n, count in counts.items() for _ in range(count))]
    return check_names(count_names(pairs), "column 'label'")


def test_names_are_counted_and_located() -> None:
    counts = count_names([("b", "x:1"), ("a", "x:2"), ("b", "x:3")])
    assert {name: (one.count, one.source) for name, one in counts.items()} == {"b": (2, "x:1"), "a": (1, "x:2")}


def test_names_that_differ_are_fine() -> None:
    assert check({"spam": 900, "ham": 3, "Eggs": 1}) == ()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"spam": 900, "ham": 5, "Spam": 3},
            r"^a:905: labels in column 'label' differ in case only: 'Spam' \(3×\) and 'spam' \(900×\); "
            r"correct the rows, or list what is meant in task\.labels$",
        ),
        (
            {"good": 5, "good ": 5},
            r"^a:0: labels in column 'label' look the same: 'good' \(5×\) and 'good ' \(5×\);",
        ),
        ({"so so": 5, "so\u00a0so": 1}, r"look the same: 'so so' \(5×\) and 'so\\xa0so' \(1×\)"),
        ({COMPOSED: 5, DECOMPOSED: 5}, r"look the same: 'cafe\\u0301' \(5×\) and 'café' \(5×\)"),
        ({"good": 50, " GOOD": 1}, r"differ in case only: ' GOOD' \(1×\) and 'good' \(50×\)"),
        (
            {"good": 50, "nan": 2},
            r"^a:50: a label in column 'label' must not be missing, got 'nan' \(2×\); give the rows a label",
        ),
        ({"good": 50, "NaN": 2}, r"must not be missing, got 'NaN'"),
    ],
)
def test_names_that_look_like_a_mistake_are_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(counts)


def test_frequent_names_that_differ_in_case_are_noted() -> None:
    assert check({"A": 50, "a": 5}) == (
        "taken as different, although they differ in case only: 'A' (50×) and 'a' (5×)",
    )
    assert check({"none": 5, "null": 5}) == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Good", ", which differs from 'good' in case only"),
        ("good\u200a", ", which differs from 'good' in blanks or Unicode form only"),
        (DECOMPOSED, f", which differs from '{COMPOSED}' in blanks or Unicode form only"),
        ("god", " (did you mean 'good'?)"),
        ("other", ""),
    ],
)
def test_what_an_unknown_name_may_be(name: str, text: str) -> None:
    assert hint(name, ["good", COMPOSED]) == text


def test_integers() -> None:
    assert [is_integer(name) for name in ("0", "-12", "1.0", "", "-", "--1", "٣", "9" * 5000, "1_0", " 1")] == [
        *[True] * 2,
        *[False] * 8,
    ]
    assert ordered(["10", "9", "-1", "9"]) == ("-1", "9", "10")
    assert ordered(["10", "9", "x"]) == ("10", "9", "x")

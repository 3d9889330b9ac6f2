import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError, DataError
from aebert.tasks.roles import Part, assign_roles
from aebert.tasks.task import Row

Splits = dict[str, list[Row]]


def split(name: str, size: int) -> list[Row]:
    return [Row((f"{name} {index}",), index % 2) for index in range(size)]


def sizes(splits: Splits, roles: dict[str, str] | None = None) -> dict[str, int]:
    return {role: len(rows) for role, rows in assign_roles(splits, roles, {}, 0).rows.items()}  # type: ignore[arg-type]


def test_default_roles_with_a_test_split() -> None:
    splits = {"train": split("t", 10), "dev": split("d", 100), "test": split("e", 5)}
    rows = assign_roles(splits, None, {}, 0).rows
    assert {role: len(rows) for role, rows in rows.items()} == {"train": 10, "search": 67, "select": 33, "report": 5}
    assert rows["train"] == splits["train"]
    assert rows["report"] == splits["test"]
    assert {row.text for row in rows["search"] + rows["select"]} == {row.text for row in splits["dev"]}


def test_default_roles_without_a_test_split() -> None:
    splits = {"train": split("t", 100), "dev": split("d", 7)}
    assert sizes(splits) == {"train": 80, "search": 12, "select": 8, "report": 7}


def test_parts_are_shuffled_by_the_seed_and_in_file_order() -> None:
    splits = {"train": split("t", 9), "dev": split("d", 100), "test": split("e", 5)}
    place = {row.text: index for index, row in enumerate(splits["dev"])}
    searches = [[place[row.text] for row in assign_roles(splits, None, {}, seed).rows["search"]] for seed in (0, 0, 1)]
    assert searches[0] == searches[1] != searches[2]
    assert all(search == sorted(search) != list(range(67)) for search in searches)


@given(size=st.integers(2, 50), cut=st.integers(1, 99), seed=st.integers(0, 5))
def test_adjacent_parts_divide_a_split(size: int, cut: int, seed: int) -> None:
    rows = split("d", size)
    first, second = (Part.parse(text).take(rows, seed) for text in (f"dev[:{cut}%]", f"dev[{cut}%:]"))
    assert sorted(row.text for row in first + second) == sorted(row.text for row in rows)


@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=20), cut=st.integers(1, 99), seed=st.integers(0, 5))
def test_rows_of_a_document_stay_together(sizes: list[int], cut: int, seed: int) -> None:
    rows = [
        Row((f"{document} {line}",), 0, document=f"d{document}")
        for document, size in enumerate(sizes)
        for line in range(size)
    ]
    first, second = (Part.parse(text).take(rows, seed) for text in (f"dev[:{cut}%]", f"dev[{cut}%:]"))
    documents = [{row.document for row in part} for part in (first, second)]
    assert len(documents[0]) == len(sizes) * cut // 100
    assert not documents[0] & documents[1]
    assert sorted(row.text for row in first + second) == sorted(row.text for row in rows)
    assert [row for row in rows if row.document in documents[0]] == first


def test_given_roles_replace_the_defaults() -> None:
    splits = {"train": split("t", 10), "dev": split("d", 10), "extra": split("x", 4), "test": split("e", 5)}
    roles = {"search": "dev[:50%]", "select": "extra"}
    assert sizes(splits, roles) == {"train": 10, "search": 5, "select": 4, "report": 5}


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"search": "dev"}, r"roles must not share rows, but search is dev and select is dev\[67%:\]"),
        ({"search": "test[:1%]"}, r"search is test\[:1%\] and report is test"),
        (
            {"select": "dve"},
            r"role select must be of a split that exists, got dve \(did you mean 'dev'\?\).*train, dev",
        ),
        ({"select": "dev[90%:80%]"}, r"from a smaller to a larger share up to 100%, got 'dev\[90%:80%\]'"),
        ({"select": "dev[90%:101%]"}, r"up to 100%, got 'dev\[90%:101%\]'"),
        ({"select": "dev[67:]"}, r"role must be a split or a part of one such as 'dev\[:60%\]', got 'dev\[67:\]'"),
    ],
)
def test_bad_roles(roles: dict[str, str], message: str) -> None:
    splits = {"train": split("t", 10), "dev": split("d", 10), "test": split("e", 5)}
    with pytest.raises(ConfigError, match=message):
        sizes(splits, roles)


def test_repeated_texts_stay_in_the_latest_role() -> None:
    a, b, c, d = (Row((letter,), 0) for letter in "abcd")
    relabelled = Row(("a",), 1)
    splits = {"train": [a, b, d, d], "s": [b, c], "dev": [c, Row(("e",), 0)], "test": [relabelled]}
    assignment = assign_roles(splits, {"train": "train", "search": "s", "select": "dev", "report": "test"}, {}, 0)
    assert assignment.rows == {
        "train": [d, d],
        "search": [b],
        "select": [c, Row(("e",), 0)],
        "report": [relabelled],
    }
    assert assignment.notes == (
        "2 rows dropped from train: the same text stands in search or select or report",
        "1 row dropped from search: the same text stands in select or report",
    )


def test_a_role_without_rows_is_an_error() -> None:
    with pytest.raises(DataError, match=r"role search \(train\[:1%\]\) must have .*the part is empty; set data\.roles"):
        sizes(
            {"train": split("t", 3), "dev": [], "test": split("e", 1)}, {"search": "train[:1%]", "train": "train[1%:]"}
        )
    with pytest.raises(DataError, match=r"role train \(train\) must have .*its 3 rows stand in later roles too"):
        sizes({"train": split("t", 3), "dev": split("d", 9), "test": split("t", 3)})


def test_limits_take_a_random_subset_in_file_order() -> None:
    splits = {"train": split("t", 100), "dev": split("d", 30), "test": split("e", 5)}
    place = {row.text: index for index, row in enumerate(splits["train"])}
    limited = [assign_roles(splits, None, {"train": 10, "report": 99}, seed).rows for seed in (0, 0, 1)]
    chosen = [[place[row.text] for row in rows["train"]] for rows in limited]
    assert [len(rows["report"]) for rows in limited] == [5, 5, 5]
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(len(set(c)) == 10 and c == sorted(c) != list(range(10)) for c in chosen)

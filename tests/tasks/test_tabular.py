import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import DataError
from aebert.tasks.delimited import TableStyle, read_tsv
from aebert.tasks.labels import ordered
from aebert.tasks.records import Record, pick
from aebert.tasks.tabular import class_name, read_table, tagged_sentences, text_rows
from aebert.tasks.task import TaskSpec

Write = Callable[[str, str | bytes], Path]

MOOD = TaskSpec(
    name="mood",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "good"),
    metric="accuracy",
    headline="accuracy",
)
SCORE = TaskSpec(
    name="score",
    kind="regression",
    columns=("text",),
    label_column="label",
    labels=(),
    metric="pearson_spearman",
    headline="spearman",
)


def test_csv_values_hold_commas_quotes_and_line_breaks(write: Write) -> None:
    path = write("a.csv", '\ufefftext,label\r\n"one, ""two""\nthree",good\r\n\r\nlast,bad')
    records = list(read_table(path, "csv"))
    assert [record.values for record in records] == [
        {"text": 'one, "two"\nthree', "label": "good"},
        {"text": "last", "label": "bad"},
    ]
    assert [record.source for record in records] == [f"{path}:2", f"{path}:5"]


@given(
    rows=st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))] * 2), min_size=1, max_size=5
    )
)
def test_csv_reads_what_the_csv_module_writes(rows: list[tuple[str, str]], tmp_path_factory: object) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"  # type: ignore[attr-defined]
    path.write_bytes(buffer.getvalue().encode())
    assert [tuple(record.values.values()) for record in read_table(path, "csv")] == rows


def test_tsv_knows_no_quotes(write: Write) -> None:
    path = write("a.tsv", 'text\tlabel\r\n"an open quote\tgood\r\n5" nails\tbad\r\n')
    texts = [record.values["text"] for record in read_table(path, "tsv")]
    assert texts == ['"an open quote', '5" nails']


def test_a_header_of_ones_own_makes_the_first_line_a_row(write: Write) -> None:
    path = write("a.tsv", "fine\t1\n")
    (record,) = read_table(path, "tsv", TableStyle(["text", "label"]))
    assert record == Record({"text": "fine", "label": "1"}, f"{path}:1")


def test_empty_extra_columns_are_forgiven_others_are_not(write: Write) -> None:
    path = write("a.tsv", "fine\t1\t\t\nbad\t1\tmore\n")
    records = read_table(path, "tsv", TableStyle(["text", "label"]))
    assert next(records).values == {"text": "fine", "label": "1"}
    with pytest.raises(DataError, match=r"a\.tsv:2 must have 2 columns \(text, label\), got 3"):
        next(records)


def test_optional_columns_may_be_missing_and_broken_lines_are_collected(write: Write) -> None:
    path = write("a.tsv", "a\tb\tc\td\na\tb\na\n")
    broken: list[str] = []
    records = list(read_tsv(path, TableStyle(["1", "2", "3", "4"]), broken, optional=2))
    assert [len(record.values) for record in records] == [4, 2]
    assert broken == [f"{path}:3 must have 4 columns (1, 2, 3, 4), got 1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'text,label\n"open,good\n', r"a\.csv:2 must be CSV .*unexpected end of data"),
        ("a.csv", 'text,label\n"a"b,good\n', r"a\.csv:2 must be CSV .*',' expected after"),
        ("a.csv", "", r"a\.csv must have at least one row, it is empty"),
        ("a.csv", "text,label\n", r"a\.csv must have at least one row, it is empty"),
        ("a.csv", "text,text\na,b\n", r"a\.csv: column names must differ, got text, text"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', r"a\.jsonl:2 must be one JSON object: Expecting value at column"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1 must be one JSON object, got list"),
        ("a.jsonl", "\n\n", r"a\.jsonl must have at least one row, it is empty"),
    ],
)
def test_broken_files_are_named_with_their_line(write: Write, name: str, content: str, message: str) -> None:
    table_format = "csv" if name.endswith("csv") else "jsonl"
    with pytest.raises(DataError, match=message):
        list(read_table(write(name, content), table_format))  # type: ignore[arg-type]


def test_a_wrong_column_names_the_columns_there_are() -> None:
    record = Record({"sentence": "a", "label": "1"}, "a.csv:2")
    with pytest.raises(
        DataError, match=r"a\.csv:2 has no column 'sentense' \(did you mean 'sentence'\?\); columns: sentence, label"
    ):
        list(pick([record], ["sentense"]))


@pytest.mark.parametrize("line", ['{"text": "a", "n": ' + "9" * 5000 + "}", '{"text": ' + "[" * 100_000])
def test_numbers_and_brackets_without_end_are_one_line(write: Write, line: str) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl:1 must be one JSON object: ") as raised:
        list(read_table(write("a.jsonl", line), "jsonl"))
    assert "\n" not in str(raised.value)


def test_a_key_twice_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl:2 must have each key once, got 'text' twice"):
        list(read_table(write("a.jsonl", '{"text": "a"}\n{"text": "b", "label": "x", "text": "c"}\n'), "jsonl"))


def test_classes_come_by_name_or_id() -> None:
    values = ["good", "0", 1, 1.0, " bad "]
    rows = text_rows([Record({"text": "x", "label": value}, "a:1") for value in values], MOOD)
    assert [row.label for row in rows] == [1, 0, 1, 1, 0]


def test_names_that_are_integers_are_names_not_ids() -> None:
    polarity = MOOD.with_labels(("-1", "0", "1"))
    rows = text_rows([Record({"text": "x", "label": value}, "a:1") for value in ("1", -1, "0")], polarity)
    assert [row.label for row in rows] == [2, 0, 1]
    with pytest.raises(DataError, match="label must be a class of mood, got '0'"):
        list(text_rows([Record({"text": "x", "label": "0"}, "a:1")], MOOD.with_labels(("1", "2", "4"))))


@pytest.mark.parametrize("value", ["2", "-1", "God"])
def test_an_unknown_class_names_the_known_ones(value: str) -> None:
    with pytest.raises(DataError, match=rf"a:7: label must be a class of mood, got '{value}'.*known: bad, good"):
        list(text_rows([Record({"text": "x", "label": value}, "a:7")], MOOD))


@pytest.mark.parametrize("value", ["", None, 1.5, ["good"]])
def test_what_is_no_class_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="a:7: label must be a class name or id, got"):
        list(text_rows([Record({"text": "x", "label": value}, "a:7")], MOOD))


def test_scores_are_numbers() -> None:
    rows = text_rows([Record({"text": "x", "label": value}, "a:1") for value in ("3.5", 2, -0.5)], SCORE)
    assert [row.label for row in rows] == [3.5, 2.0, -0.5]


@pytest.mark.parametrize("value", ["high", "nan", "inf", True, None, "3,5", 10**400, ""])
def test_what_is_no_score_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="a:3: label must be a finite number, got"):
        list(text_rows([Record({"text": "x", "label": value}, "a:3")], SCORE))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, r"a:3: text must be a text, got 5; give the row one or delete it"),
        (None, r"a:3: text must be a text, got None"),
        (float("nan"), r"a:3: text must be a text, got nan"),
        ("", r"a:3: text must not be empty or blank, got ''; delete the row"),
        (" \t\u00a0\u200b", r"a:3: text must not be empty or blank, got ' \\t\\xa0\\u200b'"),
        ("half \ud83d", r"a:3: text must be Unicode, character 6 is half of a surrogate pair: '\\ud83d'; write the"),
    ],
)
def test_a_text_must_be_a_text(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(text_rows([Record({"text": value, "label": "bad"}, "a:3")], MOOD))


@pytest.mark.parametrize("text", ["nan", "NULL", "None", "n/a", "0"])
def test_words_that_can_mean_nothing_are_texts(text: str) -> None:
    (row,) = text_rows([Record({"text": text, "label": "bad"}, "a:3")], MOOD)
    assert row.text == (text,)


def test_official_corpora_may_have_blank_texts() -> None:
    (row,) = text_rows([Record({"text": "", "label": "bad"}, "a:3")], MOOD, blank_texts=True)
    assert row.text == ("",)


def test_exact_names_come_first() -> None:
    task = MOOD.with_labels(("good", " good", "Good"))
    rows = text_rows(
        [Record({"text": "x", "label": value}, "a:1") for value in (" good", "good", "Good", "good ")], task
    )
    assert [row.label for row in rows] == [1, 0, 2, 0]
    with pytest.raises(
        DataError, match=r"got 'GOOD', which differs from 'good' in case only; known: good,  good, Good"
    ):
        list(text_rows([Record({"text": "x", "label": "GOOD"}, "a:1")], task))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["10", 9, "-2", "9"], ("-2", "9", "10")),
        (["b", "a", "b"], ("a", "b")),
        (["10", "9", "x"], ("10", "9", "x")),
        ([True, False], ("false", "true")),
    ],
)
def test_class_names_are_sorted_as_numbers_where_all_are(values: list[object], names: tuple[str, ...]) -> None:
    assert ordered(class_name(Record({"label": value}, "a:1"), "label") for value in values) == names


def test_sentences_of_lists() -> None:
    record = Record({"tokens": ["in", "Rome"], "tags": ["O", "B-LOC"], "id": 1}, "a.jsonl:4")
    (sentence,) = tagged_sentences([record], "tokens", "tags")
    assert (sentence.words, sentence.tags) == (("in", "Rome"), ("O", "B-LOC"))
    assert sentence.at(1) == "a.jsonl:4"


@pytest.mark.parametrize(
    ("tokens", "tags", "message"),
    [
        (["a", "b"], ["O"], "a:4: tokens and tags must be lists of one length, at least 1, got 2 and 1"),
        ([], [], "at least 1, got 0 and 0"),
        ("a b", ["O"], "a:4: tokens must be a list of texts, got a b"),
        (["a", "\ud83d"], ["O", "O"], r"a:4: tokens must be Unicode, character 1 is half of a surrogate pair"),
        (["a", None], ["O", "O"], r"a:4: tokens must be a list of texts, got \['a', None\]"),
        (["a"], [0], r"a:4: tags must be a list of texts, got \[0\]"),
    ],
)
def test_bad_lists_are_refused(tokens: object, tags: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tagged_sentences([Record({"tokens": tokens, "tags": tags}, "a:4")], "tokens", "tags")

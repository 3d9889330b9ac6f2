from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError, DataError
from aebert.tasks.delimited import SEPARATORS, TableStyle, check_unquoted, read_csv, read_tsv

Write = Callable[[str, str | bytes], Path]

WANTED = ("text", "label")


def read(path: Path, **style: Any) -> list[tuple[object, ...]]:
    return [tuple(record.values.values()) for record in read_csv(path, TableStyle(**style), WANTED)]


def test_a_cell_may_have_any_size(write: Write) -> None:
    long = "a " * 200_000
    assert read(write("a.csv", f"text,label\n{long},good\n")) == [(long, "good")]


def test_empty_cells_at_the_end_of_the_header_are_no_columns(write: Write) -> None:
    path = write("a.csv", "v1,v2,,,\nham,Go home,,,\nspam,Win,,,\n")
    records = list(read_csv(path, TableStyle({"v1": "label", "v2": "text"}), WANTED))
    assert [record.values for record in records] == [
        {"label": "ham", "text": "Go home"},
        {"label": "spam", "text": "Win"},
    ]


def test_what_has_no_column_is_not_dropped(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.csv:2 must have 2 columns \(label, text\), got 3"):
        read(write("a.csv", "label,text,,\nham,Go, home\n"))


def test_a_column_without_a_name_is_left_out(write: Write) -> None:
    (record,) = read_csv(write("a.csv", ",text,label\n0,fine,good\n"), TableStyle(), WANTED)
    assert record.values == {"text": "fine", "label": "good"}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            {"bodi": "text"},
            r"data\.header must map columns of \S*a\.csv, got 'bodi' \(did you mean 'body'\?\); columns: kind, body$",
        ),
        ({"kind": "body"}, r"a\.csv: column names must differ, got body, body"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(write: Write, header: dict[str, str], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        list(read_csv(write("a.csv", "kind,body\nx,y\n"), TableStyle(header, separator=",")))


@pytest.mark.parametrize("header", [None, ("text", "label")])
def test_a_header_line_among_the_rows_is_refused(write: Write, header: tuple[str, ...] | None) -> None:
    lines = "a,good\ntext, label\nb,bad\n"
    path = write("a.csv", lines if header else "text,label\n" + lines)
    line = 2 if header else 3
    with pytest.raises(
        DataError, match=rf"a\.csv:{line} must be a row, but it repeats the header line; delete the line"
    ):
        read(path, header=header)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("header", [None, ("text", "label")])
def test_the_separator_is_found(write: Write, separator: str, header: tuple[str, ...] | None) -> None:
    buffer = io.StringIO()
    rows = [("one, two", "good"), ("one; two", "bad"), ("a\tb|c", "good"), ("plain", "bad")]
    csv.writer(buffer, delimiter=separator).writerows([*([] if header else [WANTED]), *rows])
    assert read(write("a.csv", "\ufeff" + buffer.getvalue()), header=header) == rows


@given(
    rows=st.lists(st.tuples(st.text("ab,;|\t\"' \n"), st.sampled_from(["x", "y"])), min_size=1, max_size=5),
    separator=st.sampled_from(SEPARATORS),
)
def test_whatever_the_texts_hold(
    rows: list[tuple[str, str]], separator: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator).writerows([WANTED, *rows])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(buffer.getvalue().encode())
    assert read(path) == rows


def test_two_separators_that_fit_are_refused(write: Write) -> None:
    path = write("a.csv", "Hello, world;good\nBye, world;bad\n")
    with pytest.raises(
        ConfigError, match=r"can be read as CSV with the separators ',' and ';'; set data\.separator to"
    ):
        read(path, header=("text", "label"))
    assert read(path, header=("text", "label"), separator=";")[0] == ("Hello, world", "good")


def test_a_row_that_fits_no_separator_is_named(write: Write) -> None:
    path = write("a.csv", "Hello, world;good\nBye;bad\nno\n")
    with pytest.raises(DataError, match=r"a\.csv:3 must have 2 columns \(text, label\), got 1"):
        read(path, header=("text", "label"))


def test_no_separator_gives_the_columns(write: Write) -> None:
    (record,) = read_csv(write("a.csv", "txt;lbl\na;b\n"), TableStyle(), WANTED)
    assert list(record.values) == ["txt;lbl"]


def test_excel_states_its_separator(write: Write) -> None:
    path = write("a.csv", "\ufeffsep=;\r\ntext;label\r\nfine;good\r\n")
    (record,) = read_csv(path, TableStyle(), WANTED)
    assert (record.values, record.source) == ({"text": "fine", "label": "good"}, f"{path}:3")


def test_another_encoding(write: Write) -> None:
    path = write("a.csv", "text;label\nnaïve €;good\n".encode("cp1252"))
    assert read(path, encoding="cp1252") == [("naïve €", "good")]
    path = write("b.csv", "text\tlabel\r\nnaïve €\tgood\r\n".encode("utf-16"))
    assert read(path, encoding="utf-16") == [("naïve €", "good")]


def test_tsv_that_a_csv_writer_quoted_is_refused(write: Write) -> None:
    path = write("a.tsv", 'text\tlabel\nplain\tgood\n"say ""hi"""\tbad\n')
    with pytest.raises(
        DataError, match=r'a\.tsv:3 must not quote values.*data\.format: csv and data\.separator: "\\t"'
    ):
        check_unquoted(path, TableStyle())
    assert read(path) == [("plain", "good"), ('say "hi"', "bad")]
    assert next(iter(list(read_tsv(path, TableStyle()))[1].values.values())) == '"say ""hi"""'


@pytest.mark.parametrize("text", ['say "hi"', '"hi"', 'an "open', '5" nails', '""'])
def test_quotes_that_no_csv_writer_wrote_are_of_the_text(write: Write, text: str) -> None:
    check_unquoted(write("a.tsv", f"text\tlabel\n{text}\tgood\n"), TableStyle())
    check_unquoted(write("a.tsv", f'text\tlabel\n"a ""b"""\tgood\n5" {text}\tgood\n'), TableStyle())

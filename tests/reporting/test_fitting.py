from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.reporting.finalists import finalists_table
from aebert.reporting.fitting import EDGES, GAPS, fitted
from aebert.reporting.overview import model_tables, search_tables
from aebert.reporting.printing import print_lines, print_tables
from aebert.reporting.report import Report
from aebert.reporting.tables import Cell, Column, Table


class Screen(io.StringIO):
    """What takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def _shown(table: Table, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    print_tables(table, file=stream)
    return re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())


def _titles(table: Table) -> list[str]:
    return [column.title for column in table.columns]


TABLE = Table(
    "T",
    (Column("model", "text", 0), Column("a b"), Column("c", rank=3), Column("long title"), Column("score", rank=0)),
    tuple(tuple(Cell(text, text) for text in row) for row in (("dense", "1", "22222", "3.33", "81.5"),)),
    "note",
)


def test_a_table_that_fits_is_left_as_it_is() -> None:
    for room in (None, 200, 45):
        found = fitted(TABLE, room)
        assert found.table is TABLE
        assert found.widths == (5, 3, 5, 10, 5)
        assert not found.tight
    assert sum(found.widths) + 4 * GAPS[0] + EDGES == 42


def test_titles_are_broken_before_a_column_goes() -> None:
    found = fitted(TABLE, 33)
    assert found.table is TABLE
    assert found.widths == (5, 1, 5, 7, 5)
    assert found.tight


def test_the_highest_rank_goes_first_then_the_right_one() -> None:
    assert _titles(fitted(TABLE, 29).table) == ["model", "a b", "long title", "score"]
    assert _titles(fitted(TABLE, 20).table) == ["model", "a b", "score"]
    last = fitted(TABLE, 1).table
    assert _titles(last) == ["model", "score"]
    assert last.note.splitlines()[1].startswith("Not shown for lack of room: a b, c, long title; ")
    assert [cell.text for cell in last.rows[0]] == ["dense", "81.5"]


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_tables_of_a_report_keep_whole_numbers_and_whole_rules(
    report: Report, raced: Report, timed: Report, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [table for one in (report, raced, timed) for table in (*search_tables(one), *model_tables(one))]
    assert len(tables) > 8
    for table in tables:
        lines = _shown(table, columns, monkeypatch).splitlines()
        assert max(map(len, lines)) <= columns
        (rule,) = [place for place, line in enumerate(lines) if set(line.strip()) == {"─"}]
        shown = [line.split("  ") for line in lines[rule + 1 : rule + 1 + len(table.rows)]]
        for row, cells in zip(table.rows, shown, strict=True):
            whole = {cell.text for cell in row}
            assert {cell.strip() for cell in cells if cell.strip()} <= whole


def test_a_pipe_gets_every_column(report: Report) -> None:
    stream = io.StringIO()
    print_tables(finalists_table(report), file=stream)
    head = stream.getvalue().splitlines()[2]
    assert all(title in head for title in _titles(finalists_table(report)))
    assert "Not shown" not in stream.getvalue()


@given(st.integers(1, 120), st.lists(st.tuples(st.text("abc ", max_size=9), st.integers(0, 3)), min_size=1))
def test_what_can_fit_does(room: int, columns: list[tuple[str, int]]) -> None:
    made = tuple(Column(title.strip() or "x", rank=rank) for title, rank in columns)
    table = Table("T", made, ((Cell("123", 123),) * len(made),), "")
    found = fitted(table, room)
    total = sum(found.widths) + (len(found.widths) - 1) * GAPS[found.tight] + EDGES
    assert total <= room or all(column.rank == 0 for column in found.table.columns[1:])
    assert {column.title for column in made if column.rank == 0} <= set(_titles(found.table))


def test_sentences_are_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    long, stream, piped = "Ship trial-6 int8: " + "word " * 20, Screen(), io.StringIO()
    print_lines(long.strip(), "short", file=stream)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert lines[1].startswith("  word")
    assert lines[-1] == "short"
    print_lines(long.strip(), file=piped)
    assert piped.getvalue() == long.strip() + "\n"

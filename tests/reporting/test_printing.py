from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.text import Text

from aebert.reporting.finalists import finalists_table
from aebert.reporting.fronts import front_table
from aebert.reporting.overview import studies_table
from aebert.reporting.printing import print_tables
from aebert.reporting.profiles import profiles_table
from aebert.reporting.report import Report
from aebert.reporting.tables import Cell, Column, Table


def _printed(*tables: Table) -> str:
    stream = io.StringIO()
    print_tables(*tables, file=stream)
    return stream.getvalue()


def test_a_file_gets_whole_lines_without_control_codes(report: Report) -> None:
    for table in (finalists_table(report), profiles_table(report)):
        text = _printed(table)
        assert "\x1b" not in text
        assert [line for line in text.splitlines() if "trial-2" in line] != []
    assert "trial-2 *" in _printed(finalists_table(report))
    assert "1.5       3.00       3.50       4.00" in _printed(profiles_table(report))


def test_several_tables_are_an_empty_line_apart() -> None:
    first, second = (
        Table(title=title, columns=(Column("x"),), rows=((Cell("1", 1),),), note=note)
        for title, note in (("A", "why."), ("B", ""))
    )
    stream = io.StringIO()
    print_tables(first, second, Text("and text"), file=stream)
    assert stream.getvalue() == "A\n\n x\n ─\n 1\n\nwhy.\n\nB\n\n x\n ─\n 1\n\n\nand text\n"
    assert _printed() == ""


class Screen(io.StringIO):
    """What takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_not_overrun(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    stream = Screen()
    print_tables(front_table(report), file=stream)
    text = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())
    assert max(map(len, text.splitlines())) <= 70
    # folded, not cut: every score is still there
    assert all(score in text for score in ("75.0", "62.5", "37.5"))


def test_a_stream_without_the_signs_gets_digits(report: Report) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_tables(front_table(report), file=stream)
    stream.flush()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert lines[4].split() == ["0", "dense", "-", "0.0", "%", "2.00", "75.0", "-", "0.250", "+0.0", "-", "##", "##"]
    assert lines[6].split()[-2:] == ["02", "#0"]


def test_markup_in_names_is_shown_as_it_is(report: Report) -> None:
    named = replace(report, info=replace(report.info, name="[bold]x[/bold]", task="[red]"))
    assert "[bold]x[/bold]" in _printed(front_table(named))
    assert "[red]" in _printed(studies_table([named]))

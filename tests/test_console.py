from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from aebert.console import PrintableConsole
from aebert.errors import ConfigError, printable

EVIL = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202eb\r"
SHOWN = r"a\x1b[31mred\x1b]0;title\x07\x9b2J\u202eb\r"


@pytest.mark.parametrize("styled", [False, True])
def test_control_characters_of_a_text_are_shown_and_not_obeyed(styled: bool) -> None:
    stream = io.StringIO()
    console = PrintableConsole(
        file=stream, width=200, force_terminal=styled, color_system="standard" if styled else None
    )
    table = Table("label", title=Text(EVIL))
    table.add_row(Text(EVIL, style="bold"))
    console.print(EVIL, table, markup=False, highlight=False)
    shown = stream.getvalue()
    as_shown = SHOWN.replace(r"\x07", "").replace(r"\r", "")  # which rich leaves out
    assert shown.count(as_shown) == 2  # and the cell, which is broken
    assert ("\x1b[1m" in shown) == styled  # those of rich itself stay
    assert not {"\x07", "\x9b", "\u202e", "\r"} & set(shown)
    assert "\x1b[31m" not in shown


def test_errors_are_printable_whatever_they_quote() -> None:
    assert str(ConfigError(f"name must be short, got {EVIL}")) == f"name must be short, got {SHOWN}"
    assert printable("tab\tand\nline, é, 日本 😀") == "tab\tand\nline, é, 日本 😀"

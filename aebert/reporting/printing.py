"""Printing of tables: aligned, and readable without colour."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import Literal, TextIO

from rich import box
from rich.console import Group, RenderableType
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from aebert.console import PrintableConsole
from aebert.errors import printable
from aebert.reporting.fitting import Fitted, fitted
from aebert.reporting.tables import Column, Table

# For streams that can't show the signs (a log in ASCII): shares kept become digits, # for all.
_ASCII = str.maketrans(
    {
        **dict(zip("·▁▂▃▄▅▆▇█", "01234567#", strict=True)),
        "–": "-",
        "×": "x",
        "±": "+",
        "─": "-",
        "…": "~",
        "░": ".",
    }
)


def print_tables(*shown: Table | RenderableType, file: TextIO | None = None) -> None:
    """Print tables, or whatever else `rich` renders, with an empty line between them.

    A terminal gets them in its width, anything else in full width and without control codes.
    """
    stream = sys.stdout if file is None else file
    console = PrintableConsole(file=stream)
    room = console.width if console.is_terminal else None
    parts = [_rendered(fitted(one, room)) if isinstance(one, Table) else one for one in shown]
    between = [part for one in parts for part in (Text(), one)][1:]
    _print(Group(*between), stream)


def print_lines(*lines: str, file: TextIO | None = None) -> None:
    """Print sentences; a terminal breaks them between words, with the rest of each indented."""
    stream = sys.stdout if file is None else file
    console = PrintableConsole(file=stream)
    if console.is_terminal:
        width = max(console.width, 40)
        lines = tuple(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False) for line in lines)
    for line in map(printable, lines):
        stream.write(f"{line if _can_show(line, stream) else _ascii(line)}\n")


def _print(table: RenderableType, stream: TextIO) -> None:
    console = PrintableConsole(file=stream)
    if console.is_terminal:
        console.print(table)
        return
    wide = PrintableConsole(width=10_000)
    width = Measurement.get(wide, wide.options, table).maximum
    plain = PrintableConsole(width=max(width, 40), color_system=None, force_terminal=False)
    with plain.capture() as capture:
        plain.print(table)
    text = "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())
    stream.write(text if _can_show(text, stream) else _ascii(text))


def _ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "replace").decode()


def _can_show(text: str, stream: TextIO) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def rich_table(title: str | None, columns: Sequence[Column], widths: Sequence[int] | None = None) -> RichTable:
    """A table without rows, in the look of all tables; widths: of its columns, by default what their cells need."""
    table = RichTable(
        title=None if title is None else Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column, width in zip(columns, widths or (None,) * len(columns), strict=True):
        justify: Literal["left", "right"] = "right" if column.kind == "number" else "left"
        table.add_column(Text(column.title), justify=justify, overflow="fold", width=width)
    return table


def _rendered(found: Fitted) -> Group:
    table = found.table
    drawn = rich_table(None, table.columns, found.widths)
    drawn.collapse_padding = found.tight
    for row in table.rows:
        drawn.add_row(*(Text(cell.text) for cell in row))
    # not as the table's title and caption: those would be broken to the table's width
    note = [Text(table.note)] if table.note else []
    return Group(Text(table.title, style="table.title"), drawn, *note)

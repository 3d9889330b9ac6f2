"""CSV and TSV files: separators, header lines, cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from aebert.errors import ConfigError, DataError
from aebert.registry import nearest
from aebert.runtime.decoding import UTF_8
from aebert.tasks.records import Record
from aebert.tasks.text_files import numbered_lines

SEPARATORS = (",", ";", "\t", "|")
"""Separators that are looked for in CSV files; programs write the semicolon where the comma is a decimal point."""

_LARGEST_CELL = 2**31 - 1  # the csv module refuses cells of more than 128 KB until it is told otherwise
_EXCEL_SEPARATOR = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')

Header = Sequence[str] | Mapping[str, str] | None

Line = tuple[int, list[str]]
"""Number of a line (the first, if quoted cells hold line breaks) and its cells."""


@dataclass(frozen=True)
class TableStyle:
    """How a table is written, as far as its format leaves that open; see `DataConfig`.

    header: names of all columns of a file without a header line, or other names for columns of its header line.
    separator: of a CSV file; found from the columns that are wanted when not given.
    """

    header: Header = None
    encoding: str = UTF_8
    separator: str | None = None


def read_csv(path: Path, style: TableStyle, wanted: Sequence[str] = ()) -> Iterator[Record]:
    """Yield the records of a CSV file; values are quoted as RFC 4180 says (they may hold separators and line breaks).

    wanted: columns by which the separator is found when the style has none.
    """
    separator = style.separator or _find_separator(path, style, wanted)
    yield from _with_header(path, _csv_lines(path, style.encoding, separator), style.header)


def read_tsv(path: Path, style: TableStyle, broken: list[str] | None = None, optional: int = 0) -> Iterator[Record]:
    """Yield the records of a TSV file, which is split at tabs and knows no quotes.

    broken: if given, lines with a wrong number of columns are left out, and what is wrong with them is added to it. The
    last `optional` columns may be missing from a line, all together.
    """
    yield from _with_header(path, _tsv_lines(path, style.encoding), style.header, broken, optional)


def check_unquoted(path: Path, style: TableStyle) -> None:
    """Raise a `DataError` if all quotes of a TSV file look like those that CSV writers add, and some are doubled.

    Read as TSV, such texts would have quotes that are not theirs.
    """
    doubled = 0
    for number, cells in _tsv_lines(path, style.encoding):
        for cell in cells:
            if '"' in cell and not _QUOTED.fullmatch(cell):
                return
            doubled = doubled or number * ('""' in cell[1:-1])
    if doubled:
        raise DataError(
            f"{path}:{doubled} must not quote values, as TSV has no quotes; if these were written by a CSV writer set "
            'data.format: csv and data.separator: "\\t", if they belong to the texts set data.format: tsv'
        )


def _tsv_lines(path: Path, encoding: str) -> Iterator[Line]:
    for number, line in numbered_lines(path, encoding):
        text = line.rstrip("\r\n")
        if text:
            yield number, text.split("\t")


def _csv_lines(path: Path, encoding: str, separator: str) -> Iterator[Line]:
    csv.field_size_limit(_LARGEST_CELL)
    lines = (line for _, line in numbered_lines(path, encoding))
    first = next(lines, "")
    skipped = bool(_EXCEL_SEPARATOR.fullmatch(first))
    reader = csv.reader(lines if skipped else chain([first], lines), delimiter=separator, strict=True)
    while True:
        start = reader.line_num + skipped + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}:{start} must be CSV with values quoted as in RFC 4180: {error}") from None
        if cells:
            yield start, cells


def _find_separator(path: Path, style: TableStyle, wanted: Sequence[str]) -> str:
    """The separator at which the header line has the wanted columns, or all lines as many cells as `style.header`.

    Excel's `sep=` line is believed. Where no separator fits, it is the one that fits most lines, so that the line at
    which it does not is what the error is about.
    """
    _, first = next(numbered_lines(path, style.encoding), (1, ""))
    if stated := _EXCEL_SEPARATOR.fullmatch(first):
        return stated[1]
    if not wanted:
        return ","
    header = style.header
    if header is None or isinstance(header, Mapping):
        fitting = [one for one in SEPARATORS if _has_columns(path, style.encoding, one, header, wanted)]
        best = ","
    else:
        lines = {one: _fitting_lines(path, style.encoding, one, len(header)) for one in SEPARATORS}
        fitting = [one for one in SEPARATORS if lines[one] == float("inf")]
        best = max(SEPARATORS, key=lines.__getitem__)
    if len(fitting) > 1:
        found = " and ".join(map(repr, fitting))
        raise ConfigError(f"{path} can be read as CSV with the separators {found}; set data.separator to the right one")
    return fitting[0] if fitting else best


def _has_columns(
    path: Path, encoding: str, separator: str, header: Mapping[str, str] | None, wanted: Sequence[str]
) -> bool:
    try:
        _, cells = next(_csv_lines(path, encoding, separator), (1, []))
        return set(wanted) <= set(_names(path, _stripped(cells), header))
    except (ConfigError, DataError):
        return False


def _fitting_lines(path: Path, encoding: str, separator: str, columns: int) -> float:
    """Lines before the first that has another number of cells; infinite if there is none."""
    fitting = 0
    try:
        for _, cells in _csv_lines(path, encoding, separator):
            if len(_without_empty(cells, columns)) != columns:
                return fitting
            fitting += 1
    except DataError:
        return fitting
    return float("inf")


def _without_empty(cells: list[str], columns: int) -> list[str]:
    """Cells without what follows the last column if that is empty, as in some SemEval files."""
    return cells if any(cell.strip() for cell in cells[columns:]) else cells[:columns]


def _with_header(
    path: Path,
    lines: Iterator[Line],
    header: Header,
    broken: list[str] | None = None,
    optional: int = 0,
) -> Iterator[Record]:
    if header is None or isinstance(header, Mapping):
        written = _stripped(next(lines, (1, []))[1])
        names = _names(path, written, header)
    else:
        written = _stripped(header)
        names = tuple(header)
        _check_differ(path, names)
    for number, cells in lines:
        source = f"{path}:{number}"
        if cells[0].strip() == written[0] and _stripped(cells) == written:
            fix = "delete the line, or leave data.header out" if isinstance(header, tuple | list) else "delete the line"
            raise DataError(f"{source} must be a row, but it repeats the header line; {fix}")
        cells = _without_empty(cells, len(names))
        if len(cells) in {len(names), len(names) - optional}:
            yield Record({name: cell for name, cell in zip(names, cells, strict=False) if name}, source)
            continue
        problem = f"{source} must have {len(names)} columns ({', '.join(names)}), got {len(cells)}"
        if broken is None:
            raise DataError(problem)
        broken.append(problem)


def _stripped(cells: Sequence[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def _names(path: Path, written: Sequence[str], header: Mapping[str, str] | None) -> tuple[str, ...]:
    """Column names of a header line, without empty ones at its end, and with the names that `header` maps them to."""
    names = list(written)
    while names and not names[-1]:
        names.pop()
    renamed = dict(header or {})
    for old in renamed:
        if old not in names:
            there = f"columns: {', '.join(names)}"
            raise ConfigError(f"data.header must map columns of {path}, got {old!r}{nearest(old, names)}; {there}")
    found = tuple(renamed.get(name, name) for name in names)
    _check_differ(path, found)
    return found


def _check_differ(path: Path, names: Sequence[str]) -> None:
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise DataError(f"{path}: column names must differ, got {', '.join(names)}")

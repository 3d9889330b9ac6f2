"""The texts to predict: lines of a file or of standard input, or columns of a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aebert.errors import ConfigError, DataError
from aebert.runtime.columns import MOST_BYTES, TABLES, column_texts
from aebert.runtime.decoding import KNOWN_ENCODINGS, UTF_8, Lines, is_encoding, text_lines
from aebert.runtime.encoding import Text
from aebert.runtime.manifest import Manifest

NO_TEXT = (".conll", ".iob", ".bio", ".json", ".ndjson", ".parquet", ".arrow")  # their lines are not texts


@dataclass(frozen=True)
class Input:
    """A row to predict. number: from 1, a table's header not counted. text: empty if there is nothing to predict."""

    number: int
    text: Text


def is_table(path: Path | None) -> bool:
    """Whether an input is read by column."""
    return path is not None and path.suffix.lower() in TABLES


@contextmanager
def open_inputs(
    path: Path | None,
    manifest: Manifest,
    columns: Sequence[str] = (),
    *,
    separator: str | None = None,
    encoding: str = UTF_8,
) -> Iterator[Iterator[Input]]:
    """The rows of a file, or of standard input when None, read one by one.

    Files that end in .csv, .tsv or .jsonl are tables, which `columns` are read of, by default those that the bundle was
    trained on. CSV is quoted as in RFC 4180 and separated by comma, semicolon, tab or bar, TSV has no quotes, and both
    have a header line; a blank line is no row. Of everything else every line is a row; sentence pairs have a tab
    between the two.

    separator: of a CSV file; by default the one at which the header line has the columns. encoding: by its Python name;
      an input that is not UTF-8 is read whole before its first row.

    Raises: ConfigError for options that don't go with the input or the bundle; DataError naming file and line.
    """
    table = is_table(path)
    if path is not None and path.suffix.lower() in NO_TEXT:
        raise ConfigError(f"input {path} must be lines of text or a table ({', '.join(TABLES)}); convert it to one")
    if columns and not table:
        where = "standard input" if path is None else path
        raise ConfigError(f"--text names columns of a file that ends in {', '.join(TABLES)}, got it for {where}")
    _check_style(path, separator, encoding)
    names = _checked_columns(columns, manifest)
    with _opened(path) as (file, source):
        lines = text_lines(_raw_lines(file, source), source, encoding, "--encoding")
        if table:
            texts = column_texts(lines, source, names, separator=separator, word_lists=manifest.kind == "ner")
            yield (Input(number, _joined(sides)) for number, sides in enumerate(texts, start=1))
        else:
            yield _line_rows(lines, source, manifest)


def _joined(sides: tuple[Text, ...]) -> Text:
    """One text, a pair of texts, or an empty one if there is nothing in them."""
    if not any(side.strip() if isinstance(side, str) else side for side in sides):
        return ""
    return sides[0] if len(sides) == 1 else [str(side) for side in sides]


def _check_style(path: Path | None, separator: str | None, encoding: str) -> None:
    if not is_encoding(encoding):
        raise ConfigError(f"--encoding must be {KNOWN_ENCODINGS}, got {encoding!r}")
    if separator is None:
        return
    if path is None or path.suffix.lower() != ".csv":
        where = "standard input" if path is None else path
        raise ConfigError(f"--separator is that of a file that ends in .csv, got it for {where}")
    if len(separator) != 1 or separator in '"\r\n':
        raise ConfigError(f"--separator must be one character other than a quote, got {separator!r}")


def _checked_columns(given: Sequence[str], manifest: Manifest) -> tuple[str, ...]:
    """Columns of the texts: as given, or separated by a comma, or those of the training."""
    if not given:
        return manifest.columns
    names = tuple(given[0].split(",")) if manifest.pair and len(given) == 1 else tuple(given)
    if len(set(names)) != len(manifest.columns) or len(names) != len(manifest.columns):
        wanted = f"two columns, such as {','.join(manifest.columns)}," if manifest.pair else "one column"
        raise ConfigError(f"--text must name {wanted} for bundle {manifest.name}, got {', '.join(given)!r}")
    return names


@contextmanager
def _opened(path: Path | None) -> Iterator[tuple[BinaryIO, str]]:
    if path is None:
        yield sys.stdin.buffer, "standard input"
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"input {path} can't be read: {error.strerror}") from None
    with file:
        yield file, str(path)


def _raw_lines(file: BinaryIO, source: str) -> Iterator[bytes]:
    number = 1
    while raw := _next_line(file, f"{source}:{number}"):
        yield raw
        number += 1


def _next_line(file: BinaryIO, place: str) -> bytes:
    try:
        raw = file.readline(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{place} can't be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise DataError(f"{place} must be a line of at most {MOST_BYTES} bytes; split it")
    return raw


def _line_rows(lines: Lines, source: str, manifest: Manifest) -> Iterator[Input]:
    for number, line in lines:
        text = line.rstrip("\r\n")
        sides = text.split("\t")
        if not text.strip():
            yield Input(number, "")
        elif not manifest.pair:
            yield Input(number, text)
        elif len(sides) == 2:
            yield Input(number, tuple(sides))
        else:
            tabs = len(sides) - 1
            raise DataError(f"{source}:{number} must be two texts with a tab between them, got {tabs} tabs")

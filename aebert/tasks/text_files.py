"""Reading a text file line by line, so that every message can name file and line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path

from aebert.errors import DataError

UTF_8 = "utf-8"

# What a file that is not text begins with, and what to do about it.
_MAGIC = {
    b"PK\x03\x04": "it is a zip or Excel file; export it as CSV",
    b"\x1f\x8b": "it is compressed by gzip; unpack it",
    b"PAR1": "it is a Parquet file; name it .parquet",
    b"ARROW1": "it is an Arrow file; name it .arrow",
    codecs.BOM_UTF16_LE: "it begins with the byte order mark of UTF-16; set data.encoding: utf-16",
    codecs.BOM_UTF16_BE: "it begins with the byte order mark of UTF-16; set data.encoding: utf-16",
}


def numbered_lines(path: Path, encoding: str = UTF_8) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line with its line end) of a text file, without its byte order mark.

    Lines end at `\n` only: texts hold other characters that Python's `splitlines` breaks at (U+0085, U+2028).

    Raises: DataError if the file is missing, can't be read, is not in the encoding, holds a NUL character (UTF-16 read
    as something else has them), or is valid UTF-8 although another encoding is given.
    """
    try:
        lines = _utf_8_lines(path) if codecs.lookup(encoding).name in (UTF_8, "utf-8-sig") else _lines(path, encoding)
        for number, line in lines:
            if "\0" in line:
                fix = "if the file is UTF-16, set data.encoding: utf-16-le or utf-16-be"
                raise DataError(f"{path}:{number} must be text without NUL characters; {fix}")
            yield number, line
    except FileNotFoundError:
        raise DataError(f"data file {path} must exist; check data.files and data.root") from None
    except OSError as error:
        raise DataError(f"data file {path} can't be read: {error.strerror}") from None


def _utf_8_lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else UTF_8)
            except UnicodeDecodeError as error:
                raise DataError(_not_text(path, number, raw, error)) from None


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    content = path.read_bytes()
    if _is_rather_utf_8(content, encoding):
        rule = f"{path} must be {encoding} text as data.encoding says, but it is valid UTF-8"
        raise DataError(f"{rule}; leave data.encoding out (convert the file if others need it)")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        place = f"byte {error.start + 1} of the file"
        raise DataError(f"{path}:{number} must be {encoding} text, {place} is not: {_hex(content, error)}") from None
    yield from enumerate(io.StringIO(text.removeprefix("\ufeff"), newline="\n"), start=1)


def _is_rather_utf_8(content: bytes, encoding: str) -> bool:
    """Whether a file that another encoding can read as well is UTF-8: by chance, a longer text never is."""
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    if b"\0" in content if wide else content.isascii():
        return False
    try:
        content.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True


def _hex(content: bytes, error: UnicodeDecodeError) -> str:
    return f"0x{content[error.start]:02X}"


def _not_text(path: Path, number: int, line: bytes, error: UnicodeDecodeError) -> str:
    """Where a line is not UTF-8, and what the file probably is."""
    rule = f"{path}:{number} must be UTF-8 text, byte {error.start + 1} of the line is not: {_hex(line, error)}"
    with path.open("rb") as file:
        start = file.read(8)
    for magic, advice in _MAGIC.items():
        if start.startswith(magic):
            return f"{rule}; {advice}"
    return f"{rule}; set data.encoding if the file has another one, {_likely(line, error.start)}"


def _likely(line: bytes, place: int) -> str:
    """Encodings to try, with the words around the byte as the first of them reads these."""
    around = line[max(0, place - 12) : place + 12]
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return "such as latin-1, cp1250 or that of an East Asian language"
    read = " ".join(around.decode("cp1252").split())
    return f"such as cp1252 (which reads {read!r} here) or latin-1"

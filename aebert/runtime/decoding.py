"""Lines of text from bytes, for training data and for rows to predict; every message names the line."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Iterator

from aebert.errors import DataError

UTF_8 = "utf-8"
KNOWN_ENCODINGS = "one of Python's text encodings, such as utf-8, utf-16, cp1252 or latin-1"

Lines = Iterator[tuple[int, str]]  # number from 1, text with its line end

# What a file that is not text begins with, and what to do about it.
_MAGIC = {
    b"PK\x03\x04": "it is a zip or Excel file; export it as CSV",
    b"\x1f\x8b": "it is compressed by gzip; unpack it",
    b"PAR1": "it is a Parquet file; name it .parquet",
    b"ARROW1": "it is an Arrow file; name it .arrow",
    codecs.BOM_UTF16_LE: "it begins with the byte order mark of UTF-16; set {option} to utf-16",
    codecs.BOM_UTF16_BE: "it begins with the byte order mark of UTF-16; set {option} to utf-16",
}


def is_encoding(name: str) -> bool:
    """Whether Python knows a text encoding by this name."""
    try:
        "".encode(name)
    except LookupError:
        return False
    return True


def text_lines(raw: Iterable[bytes], source: str, encoding: str, option: str) -> Lines:
    r"""Yield (line number from 1, line with its line end) of a text, without its byte order mark.

    Lines end at `\n` only: texts hold other characters that Python's `splitlines` breaks at (U+0085, U+2028). UTF-8 is
    decoded line by line; of another encoding everything is read before the first line.

    raw: bytes that end behind each byte `\n`. option: what sets the encoding; advice names it.

    Raises: DataError if the text is not in the encoding, holds a NUL character (UTF-16 read as something else has
      them), or is valid UTF-8 although another encoding is given.
    """
    is_utf_8 = codecs.lookup(encoding).name in (UTF_8, "utf-8-sig")
    lines = _utf_8(raw, source, option) if is_utf_8 else _other(b"".join(raw), source, encoding, option)
    for number, line in lines:
        if "\0" in line:
            fix = f"if it is UTF-16, set {option} to utf-16-le or utf-16-be"
            raise DataError(f"{source}:{number} must be text without NUL characters; {fix}")
        yield number, line


def _utf_8(raw: Iterable[bytes], source: str, option: str) -> Lines:
    start = b""
    for number, line in enumerate(raw, start=1):
        start = start or line[:8]
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else UTF_8)
        except UnicodeDecodeError as error:
            rule = f"{source}:{number} must be UTF-8 text, byte {error.start + 1} of the line is not"
            advice = _advice(start, line, error.start, option)
            raise DataError(f"{rule}: {_hex(line, error)}; {advice}") from None


def _other(content: bytes, source: str, encoding: str, option: str) -> Lines:
    if _is_rather_utf_8(content, encoding):
        rule = f"{source} must be {encoding} text as {option} says, but it is valid UTF-8"
        raise DataError(f"{rule}; leave {option} out (convert the file if others need it)")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        place = f"byte {error.start + 1} of the file"
        raise DataError(f"{source}:{number} must be {encoding} text, {place} is not: {_hex(content, error)}") from None
    yield from enumerate(io.StringIO(text.removeprefix("\ufeff"), newline="\n"), start=1)


def _is_rather_utf_8(content: bytes, encoding: str) -> bool:
    """Whether a text that another encoding can read as well is UTF-8: by chance, a longer text never is."""
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


def _advice(start: bytes, line: bytes, place: int, option: str) -> str:
    """What a text that is not UTF-8 probably is. start: its first bytes; place: of the first wrong byte in the line."""
    for magic, advice in _MAGIC.items():
        if start.startswith(magic):
            return advice.format(option=option)
    return f"set {option} if the file has another one, {_likely(line, place)}"


def _likely(line: bytes, place: int) -> str:
    """Encodings to try, with the words around the byte as the first of them reads these."""
    around = line[max(0, place - 12) : place + 12]
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return "such as latin-1, cp1250 or that of an East Asian language"
    read = " ".join(around.decode("cp1252").split())
    return f"such as cp1252 (which reads {read!r} here) or latin-1"

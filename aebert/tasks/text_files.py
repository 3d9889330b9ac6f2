"""Reading a text file line by line, so that every message can name file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aebert.errors import DataError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line with its line end) of a UTF-8 file, without its byte order mark.

    Lines end at `\n` only: texts hold other characters that Python's `splitlines` breaks at (U+0085, U+2028).

    Raises: DataError if the file is missing, can't be read, or a line is not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except FileNotFoundError:
        raise DataError(f"data file {path} must exist; check data.files and data.root") from None
    except OSError as error:
        raise DataError(f"data file {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number} must be UTF-8 text, byte {error.start + 1} of the line is not") from None

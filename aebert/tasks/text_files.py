"""Reading a text file line by line, so that every message can name file and line."""

from __future__ import annotations

from pathlib import Path

from aebert.errors import DataError
from aebert.runtime.decoding import UTF_8, Lines, text_lines


def numbered_lines(path: Path, encoding: str = UTF_8) -> Lines:
    """Yield the lines of a text file as `text_lines` does.

    Raises: DataError also if the file is missing or can't be read.
    """
    try:
        with path.open("rb") as file:
            yield from text_lines(file, str(path), encoding, "data.encoding")
    except FileNotFoundError:
        raise DataError(f"data file {path} must exist; check data.files, data.root and AEBERT_DATA") from None
    except OSError as error:
        raise DataError(f"data file {path} can't be read: {error.strerror}") from None

from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.errors import DataError
from aebert.tasks.text_files import numbered_lines

Write = Callable[[str, str | bytes], Path]


def test_lines_end_at_newlines_only_and_lose_the_byte_order_mark(write: Write) -> None:
    path = write("a.txt", b"\xef\xbb\xbfone\xc2\x85still one\r\ntwo\xe2\x80\xa8still two")
    assert list(numbered_lines(path)) == [(1, "one\x85still one\r\n"), (2, "two\u2028still two")]


def test_a_line_that_is_not_utf8_is_named(write: Write) -> None:
    path = write("a.txt", b"fine\nna\xefve\n")
    with pytest.raises(DataError, match=r"a\.txt:2 must be UTF-8 text, byte 3 of the line is not"):
        list(numbered_lines(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv must exist; check data\.files and data\.root"):
        list(numbered_lines(tmp_path / "no.csv"))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read: Is a directory"):
        list(numbered_lines(tmp_path))

from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.errors import DataError
from aebert.tasks.text_files import numbered_lines

Write = Callable[[str, str | bytes], Path]

NAIVE = "fine\nnaïve “x”\n"


def test_lines_end_at_newlines_only_and_lose_the_byte_order_mark(write: Write) -> None:
    path = write("a.txt", b"\xef\xbb\xbfone\xc2\x85still one\r\ntwo\xe2\x80\xa8still two")
    assert list(numbered_lines(path)) == [(1, "one\x85still one\r\n"), (2, "two\u2028still two")]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "UTF8", "utf-32"])
def test_other_encodings(write: Write, encoding: str) -> None:
    path = write("a.txt", "one\x85\r\ntwo é\n".encode(encoding))
    assert list(numbered_lines(path, encoding)) == [(1, "one\x85\r\n"), (2, "two é\n")]


def test_a_byte_order_mark_is_no_text_in_an_encoding_that_states_the_order(write: Write) -> None:
    path = write("a.txt", "\ufeffone\n".encode("utf-16-le"))
    assert list(numbered_lines(path, "utf-16-le")) == [(1, "one\n")]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"fine\nna\xefve\n", "utf-8", r"a\.txt:2 must be UTF-8 text, byte 3 of the line is not: 0xEF; set data\.enc"),
        (NAIVE.encode("cp1252"), "utf-8", r"such as cp1252 \(which reads 'naïve “x”' here\) or latin-1$"),
        (b"\x81\n", "utf-8", r"a\.txt:1 must be UTF-8 text.*0x81.*such as latin-1, cp1250 or .* East Asian language$"),
        (
            NAIVE.encode("utf-16"),
            "utf-8",
            r"a\.txt:1 must be UTF-8 .* byte order mark of UTF-16; set data\.encoding to utf-16$",
        ),
        (b"PK\x03\x04\xff", "utf-8", r"it is a zip or Excel file; export it as CSV"),
        (b"\x1f\x8b\x08\xff", "utf-8", r"it is compressed by gzip; unpack it"),
        (b"PAR1\x15\x04\xff", "utf-8", r"it is a Parquet file; name it \.parquet"),
        (
            b"one\n" + "two".encode("utf-16-le"),
            "utf-8",
            r"a\.txt:2 must be text without NUL .*data\.encoding to utf-16-le",
        ),
        (b"a\nb\x81\n", "cp1252", r"a\.txt:2 must be cp1252 text, byte 4 of the file is not: 0x81"),
        (b"abc", "utf-16-le", r"a\.txt must be utf-16-le text as data\.encoding says, but it is valid UTF-8; leave"),
        (NAIVE.encode(), "latin-1", r"a\.txt must be latin-1 text .* is valid UTF-8; leave data\.encoding out"),
    ],
)
def test_a_file_in_another_encoding_is_refused(write: Write, content: bytes, encoding: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        list(numbered_lines(write("a.txt", content), encoding))
    assert "\n" not in str(raised.value)


def test_plain_ascii_is_the_same_in_most_encodings(write: Write) -> None:
    assert list(numbered_lines(write("a.txt", b"one\n"), "cp1252")) == [(1, "one\n")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv must exist; check data\.files, data\.root and AEBERT_DATA"):
        list(numbered_lines(tmp_path / "no.csv"))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read: Is a directory"):
        list(numbered_lines(tmp_path))


@pytest.mark.parametrize("name", ["a?b#c%20d.txt", "it's “ü” & \n.txt", " .txt", "[a]*{b}.txt"])
def test_names_may_have_any_character(write: Write, name: str) -> None:
    assert list(numbered_lines(write(name, "one\n"))) == [(1, "one\n")]

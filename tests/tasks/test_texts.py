from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aebert.errors import DataError
from aebert.tasks.encoding import encode
from aebert.tasks.task import TaskSpec
from aebert.tasks.texts import as_rows, read_texts


def test_lines_that_are_not_blank_are_texts(tmp_path: Path) -> None:
    (tmp_path / "news.txt").write_bytes("\ufeffOne  two\r\n \r\n\tdrei\u2028vier\nlast".encode())
    found = read_texts(Path("news.txt"), tmp_path, "utf-8", "some.key")
    assert (found.name, found.lines) == ("news.txt", ("One  two", "drei\u2028vier", "last"))


def test_the_digest_is_of_the_texts(tmp_path: Path) -> None:
    digests = []
    for name, content in (("a", "one\ntwo"), ("b.log", "one\n\ntwo\n"), ("c", "onetwo"), ("d", "two\none")):
        (tmp_path / name).write_text(content, encoding="utf-8")
        digests.append(read_texts(tmp_path / name, None, "utf-8", "some.key").digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_other_encodings_are_those_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes("café\n".encode("cp1252"))
    assert read_texts(tmp_path / "old.txt", None, "cp1252", "some.key").lines == ("café",)
    with pytest.raises(DataError, match=r"old\.txt:1 must be UTF-8 text, .*; set data\.encoding"):
        read_texts(tmp_path / "old.txt", None, "utf-8", "some.key")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.txt", None, r"^some\.key must name text files, .*gone\.txt is no such file; check the path"),
        (".", None, r"^some\.key must name text files, .* is a folder; check the path"),
        ("empty.txt", b"", r"^some\.key: .*empty\.txt must have at least one text, it is empty; leave it out"),
        ("blank.txt", b"\n \t\n", r"blank\.txt must have at least one text, it is empty"),
        ("picture", b"\x89PNG\r\n\x1a\n\0\0", r"picture:1 must be UTF-8 text, byte 1 of the line is not"),
        ("zeros.bin", b"\0\0\0\n", r"zeros\.bin:1 must be text without NUL characters"),
        (
            "rows.TSV",
            b"a\tb\n",
            r"^some\.key must name plain text files, .*, got .*rows\.TSV; write its texts into",
        ),
    ],
)
def test_what_is_no_text_is_refused(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_texts(Path(name), tmp_path, "utf-8", "some.key")


@pytest.mark.parametrize("kind", ["classification", "regression", "ner"])
def test_texts_are_rows_of_any_task(kind: str, tiny_task: Any, tiny_tokenizer: Any) -> None:
    spec: TaskSpec = tiny_task(kind)[0]
    rows, of = as_rows(["the film", "good  acting ."], spec)
    assert rows[1].text == (("good", "acting", ".") if kind == "ner" else ("good  acting .",))
    assert [len(row["input_ids"]) for row in encode(rows, of, tiny_tokenizer, 64)] == [4, 5]


def test_a_line_is_one_text_also_for_pairs() -> None:
    spec = TaskSpec("toy", "regression", ("one", "two"), "label", (), "pearson_spearman", "spearman")
    rows, of = as_rows(["the film"], spec)
    assert (rows[0].text, of.columns) == (("the film",), ("text",))

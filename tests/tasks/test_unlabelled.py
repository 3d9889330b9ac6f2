from __future__ import annotations

from pathlib import Path

import pytest

from aebert.errors import AebertError
from aebert.tasks.task import TaskKind, TaskSpec
from aebert.tasks.unlabelled import unlabelled_rows


def spec(kind: TaskKind = "classification", columns: tuple[str, ...] = ("text",)) -> TaskSpec:
    return TaskSpec("task", kind, columns, "label", (), "accuracy", "accuracy")


def texts(folder: Path, name: str, content: str, of: TaskSpec) -> list[tuple[str, ...]]:
    (folder / name).write_bytes(content.encode())
    return [row.text for row in unlabelled_rows([Path(name)], of, folder, "utf-8")]


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.txt", "One text.\r\n\n  \nAnother\tone.\nOne text.\n", [("One text.",), ("Another\tone.",)]),
        ("a.csv", 'text;id\n"One; text.";1\n;\nAnother.;2\n', [("One; text.",), ("Another.",)]),
        ("a.tsv", "id\ttext\n1\tOne.\n", [("One.",)]),
        ("a.jsonl", '{"text": "One.", "more": 3}\n', [("One.",)]),
    ],
)
def test_each_kind_of_file_gives_its_different_texts(
    name: str, content: str, wanted: list[tuple[str, ...]], tmp_path: Path
) -> None:
    assert texts(tmp_path, name, content, spec()) == wanted


def test_pairs_and_words(tmp_path: Path) -> None:
    pair, ner = spec(columns=("one", "two")), spec("ner", ("tokens",))
    assert texts(tmp_path, "a.txt", "A b.\tC d.\n", pair) == [("A b.", "C d.")]
    assert texts(tmp_path, "b.csv", "two,one\nC,A\n", pair) == [("A", "C")]
    assert texts(tmp_path, "c.txt", " A  b . \n", ner) == [("A", "b", ".")]
    assert texts(tmp_path, "d.jsonl", '{"tokens": ["A b", "."]}\n{"tokens": "C d"}\n', ner) == [
        ("A b", "."),
        ("C", "d"),
    ]
    (row,) = unlabelled_rows([tmp_path / "c.txt"], ner, None, "utf-8")
    assert row.label == (0, 0, 0)  # a model's inputs need one for each word


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.txt", "\n \n", ("text",), r"text file .*a\.txt must have at least one text, it is empty"),
        ("a.csv", "text,id\n", ("text",), r".*a\.csv must have at least one row, it is empty"),
        ("a.csv", "text\na\n", ("text",), r".*a\.csv can be read as CSV with the separators .*; set data\.separator"),
        ("a.csv", "other\nx\n", ("text",), r".*a\.csv:2 has no column 'text'; columns: other; set task\.text"),
        ("a.jsonl", '{"text": 3}\n', ("text",), r".*a\.jsonl:1: text must be a text, got 3"),
        ("a.txt", "one\n", ("a", "b"), r".*a\.txt:1 must be two texts with a tab between them, got 0 tabs"),
        ("a.txt", "one\t \n", ("a", "b"), r".*a\.txt:1 must be two texts with a tab between them"),
        ("a.conll", "one\tO\n", ("text",), r"search\.unlabelled\.texts must be files that end in one of \.txt, \.csv"),
        ("a.txt", "\xff\n", ("text",), None),
    ],
)
def test_what_is_no_text_is_one_line(
    name: str, content: str, columns: tuple[str, ...], message: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    message = message or r".*a\.txt:1 must be UTF-8 text, byte 1 of the line is not"
    with pytest.raises(AebertError, match=f"^{message}") as no:
        unlabelled_rows([tmp_path / name], spec(columns=columns), None, "utf-8")
    assert "\n" not in str(no.value)


def test_a_separator_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\nOne, text.\n")
    (row,) = unlabelled_rows([tmp_path / "a.csv"], spec(), None, "utf-8", ";")
    assert row.text == ("One, text.",)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AebertError, match=r"^text file .*a\.txt must exist; check search\.unlabelled\.texts"):
        unlabelled_rows([Path("a.txt")], spec(), tmp_path, "utf-8")

"""Text files without labels, one text a line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aebert.errors import DataError
from aebert.files import expand_user
from aebert.tasks.task import Row, TaskSpec
from aebert.tasks.text_files import numbered_lines

# Endings of files that hold more than texts, whose markup would be read as words.
_NOT_PLAIN = (
    *(".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".conll", ".iob", ".bio", ".ann"),
    *(".html", ".xml", ".pdf", ".docx", ".xlsx", ".gz", ".bz2", ".xz", ".zip"),
)


@dataclass(frozen=True)
class Texts:
    """The lines of a text file that aren't blank.

    name: of the file, without its folder. digest: SHA-256 of the lines.
    """

    name: str
    lines: tuple[str, ...]
    digest: str


def read_texts(path: Path, root: Path | None, encoding: str, key: str) -> Texts:
    """Read a text file; a relative path starts at `root`, else at the working directory.

    key: the one of the config that names the file, for messages.

    Raises: DataError, one line, unless it is a file of plain text with at least one line that isn't blank.
    """
    whole = (root or Path()) / expand_user(path)
    if whole.suffix.lower() in _NOT_PLAIN:
        rule = f"{key} must name plain text files, one text a line"
        raise DataError(f"{rule}, got {whole}; write its texts into a .txt file")
    if not whole.is_file():
        found = "a folder" if whole.is_dir() else "no such file"
        raise DataError(f"{key} must name text files, {whole} is {found}; check the path, data.root and AEBERT_DATA")
    lines = tuple(stripped for _, line in numbered_lines(whole, encoding) if (stripped := line.strip()))
    if not lines:
        raise DataError(f"{key}: {whole} must have at least one text, it is empty; leave it out")
    return Texts(whole.name, lines, hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16])


def as_rows(texts: Sequence[str], spec: TaskSpec) -> tuple[list[Row], TaskSpec]:
    """Texts as rows of one text each, with a label that says nothing; for NER as words, cut at blanks."""
    if spec.kind == "ner":
        return [Row(words, (0,) * len(words)) for words in (tuple(text.split()) for text in texts)], spec
    return [Row((text,), 0) for text in texts], replace(spec, kind="classification", columns=("text",))

"""The GLUE tasks in the official folder layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from aebert.errors import DataError
from aebert.tasks.delimited import TableStyle, read_tsv
from aebert.tasks.records import Record, pick
from aebert.tasks.tabular import read_table, text_rows
from aebert.tasks.task import Row, TaskSpec
from aebert.tasks.text_files import numbered_lines


@dataclass(frozen=True)
class Layout:
    """Where a task's rows are.

    files: split name → file in the folder. columns: header names of the texts.
    headers: split name → column names, of files without a header line; the last `optional` may be missing.
    max_broken: most lines of a file with a wrong number of columns that are left out.
    """

    folder: str
    columns: tuple[str, ...]
    label: str = "label"
    files: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
    )
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: int = 0
    max_broken: int = 0


_SENTENCES = ("sentence1", "sentence2")
_COLA = ("source", "label", "star", "sentence")
# The original STS files say for some of their sources where both sentences are from, in two more columns.
_STSB = ("genre", "filename", "year", "old_index", "score", *_SENTENCES, "source1", "source2")
_MRPC_TRAIN = "msr_paraphrase_train.txt"
_MRPC_DEV_IDS = "dev_ids.tsv"

LAYOUTS: Mapping[str, Layout] = {
    "cola": Layout(
        "CoLA",
        ("sentence",),
        files={"train": "train.tsv", "dev": "dev.tsv"},
        headers={"train": _COLA, "dev": _COLA},
    ),
    "mnli": Layout(
        "MNLI",
        _SENTENCES,
        "gold_label",
        # `dev`, the split that the default roles use, is the matched one as in the tables of papers
        files={"train": "train.tsv", "dev": "dev_matched.tsv", "dev_mismatched": "dev_mismatched.tsv"},
    ),
    "mrpc": Layout(
        "MRPC",
        ("#1 String", "#2 String"),
        "Quality",
        files={"train": "train.tsv", "dev": "dev.tsv", "test": "msr_paraphrase_test.txt"},
    ),
    "qnli": Layout("QNLI", ("question", "sentence")),
    # The official train file has a few rows cut in two by a line break; other readers of GLUE leave them out too.
    "qqp": Layout("QQP", ("question1", "question2"), "is_duplicate", max_broken=50),
    "rte": Layout("RTE", _SENTENCES),
    "sst2": Layout("SST-2", ("sentence",)),
    "stsb": Layout(
        "STS-B",
        _SENTENCES,
        "score",
        files={"train": "train.tsv", "dev": "dev.tsv", "test": "original/sts-test.tsv"},
        headers={"test": _STSB},
        optional=2,
    ),
    "wnli": Layout("WNLI", _SENTENCES),
}
LAYOUTS = {**LAYOUTS, "stsb-embedding": LAYOUTS["stsb"]}


@dataclass(frozen=True)
class GlueRows:
    """Rows by split, and what a user should know about them."""

    splits: dict[str, list[Row]]
    notes: tuple[str, ...]


def read_glue(spec: TaskSpec, root: Path) -> GlueRows:
    """Labelled rows by split of a GLUE task; files are split at tabs and know no quotes.

    Splits: train, dev (MNLI: the matched one, and dev_mismatched), test where its file has labels. Files without
    labels and files that are not there are left out. MRPC's train rows are those of `msr_paraphrase_train.txt`
    whose id pair is not in `dev_ids.tsv`, if both are there: train.tsv lacks one of the official 3,668.

    Raises: DataError naming the folders looked for, or file and line of the first bad row.
    """
    folder = _find_folder(LAYOUTS[spec.name], spec.name, root)
    layout = LAYOUTS[spec.name]
    splits: dict[str, list[Row]] = {}
    notes: list[str] = []
    for split, name in layout.files.items():
        records = _read_split(layout, split, folder / name, notes)
        rows = list(text_rows(records, _in_files(spec, layout), blank_texts=True))
        if rows:
            splits[split] = rows
    if not splits:
        raise DataError(f"{folder} must have labelled rows in {', '.join(layout.files.values())}, found none")
    return GlueRows(splits, tuple(notes))


def _find_folder(layout: Layout, name: str, root: Path) -> Path:
    folders = (root / layout.folder, root / "glue" / layout.folder)
    for folder in folders:
        if folder.is_dir():
            return folder
    looked = " and ".join(map(str, folders))
    fix = "set data.root or AEBERT_DATA to the folder that has it, or leave both out to read it from the hub"
    raise DataError(f"GLUE task {name} must be in the folder {layout.folder}, looked for {looked}; {fix}")


def _in_files(spec: TaskSpec, layout: Layout) -> TaskSpec:
    """The task with the column names of its files."""
    return replace(spec, columns=layout.columns, label_column=layout.label)


def _read_split(layout: Layout, split: str, path: Path, notes: list[str]) -> Iterator[Record]:
    if layout.folder == "MRPC" and split == "train":
        ids = path.with_name(_MRPC_DEV_IDS)
        official = path.with_name(_MRPC_TRAIN)
        if ids.is_file() and official.is_file():
            yield from _mrpc_train(official, ids)
            return
    if not path.is_file() or (split == "test" and not _has_label(layout, split, path)):
        return
    broken: list[str] = []
    for record in read_tsv(path, TableStyle(layout.headers.get(split)), broken, layout.optional):
        if len(broken) > layout.max_broken:
            break
        yield record
    if len(broken) > layout.max_broken:
        others = f"; {len(broken) - 1} lines before it break the rule too" if len(broken) > 1 else ""
        raise DataError(broken[-1] + others)
    if broken:
        notes.append(f"{len(broken)} broken lines left out: {broken[0]}{' ...' if len(broken) > 1 else ''}")


def _has_label(layout: Layout, split: str, path: Path) -> bool:
    if split in layout.headers:
        return True
    _, first = next(numbered_lines(path), (1, ""))
    return layout.label in first.rstrip("\r\n").split("\t")


def _mrpc_train(path: Path, ids: Path) -> Iterator[Record]:
    id_columns = ("#1 ID", "#2 ID")
    pairs = read_table(ids, "tsv", TableStyle(id_columns))
    dev = {tuple(record.values[column] for column in id_columns) for record in pairs}
    for record in read_table(path, "tsv"):
        (chosen,) = pick([record], id_columns)
        if tuple(chosen.values.values()) not in dev:
            yield record

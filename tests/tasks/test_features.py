from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, LargeList, List, Value

from aebert.errors import ConfigError, DataError
from aebert.tasks.features import dataset_records, declared_labels, has_names, read_arrow, with_columns
from aebert.tasks.task import TaskKind, TaskSpec

Write = Callable[[str, str | bytes], Path]

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def spec(kind: TaskKind, text: str = "text", label: str = "label") -> TaskSpec:
    return TaskSpec(
        name="t", kind=kind, columns=(text,), label_column=label, labels=(), metric="accuracy", headline="accuracy"
    )


def values(path: Path, task: TaskSpec) -> list[tuple[object, ...]]:
    dataset = with_columns(read_arrow(path), task, str(path))
    return [tuple(record.values.values()) for record in dataset_records(dataset, task, str(path))]


def moods(labels: list[Any], feature: Any = None) -> Dataset:
    table = Dataset.from_dict({"text": [f"text {i}" for i in range(len(labels))], "label": labels, "id": labels})
    return table if feature is None else table.cast_column("label", feature)


def ner(tags: list[list[Any]], feature: Any) -> Dataset:
    columns = {"tokens": [["w"] * len(row) for row in tags], "tags": tags}
    return Dataset.from_dict(columns, features=Features({"tokens": List(Value("string")), "tags": feature}))


def arrow_stream(dataset: Dataset, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, dataset.data.schema) as writer:
        writer.write_table(dataset.data.table)


def arrow_file(dataset: Dataset, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, dataset.data.schema) as writer:
        writer.write_table(dataset.data.table)


WRITERS: dict[str, Callable[[Dataset, Path], object]] = {
    "parquet": lambda dataset, path: dataset.to_parquet(path),
    "stream": arrow_stream,
    "file": arrow_file,
}


@pytest.mark.parametrize("writer", list(WRITERS))
def test_class_labels_are_names_in_their_order(writer: str, tmp_path: Path) -> None:
    path = tmp_path / "a?b#c [1].data"
    WRITERS[writer](moods([0, 1, 1], ClassLabel(names=["good", "bad"])), path)
    task = spec("classification")
    assert values(path, task) == [("text 0", "good"), ("text 1", "bad"), ("text 2", "bad")]
    assert declared_labels(read_arrow(path), task) == ("good", "bad")


@pytest.mark.parametrize("writer", list(WRITERS))
def test_tags_are_names(writer: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    WRITERS[writer](ner([[0, 3], [1, 2]], List(ClassLabel(names=TAGS))), path)
    task = spec("ner", "tokens", "tags")
    assert values(path, task) == [(["w", "w"], ["O", "B-LOC"]), (["w", "w"], ["B-PER", "I-PER"])]
    assert declared_labels(read_arrow(path), task) == ("PER", "LOC")


def test_tags_may_be_texts_in_any_kind_of_list(tmp_path: Path) -> None:
    for feature in (List(Value("string")), LargeList(Value("large_string"))):
        ner([["O", "B-X"]], feature).to_parquet(tmp_path / "a")
        assert values(tmp_path / "a", spec("ner", "tokens", "tags")) == [(["w", "w"], ["O", "B-X"])]


def test_what_pandas_writes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "label": pd.Categorical(["x", "y"]), "score": [1, 2.5]}, index=[7, 9])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.reset_index().to_feather(tmp_path / "a.feather")
    for name in ("a.parquet", "a.feather"):
        assert values(tmp_path / name, spec("classification")) == [("a", "x"), ("b", "y")]
        assert values(tmp_path / name, spec("regression", label="score")) == [("a", 1.0), ("b", 2.5)]


def test_fields_of_records_are_columns(tmp_path: Path) -> None:
    Dataset.from_dict({"post": [{"text": "a", "by": "me"}], "label": ["x"]}).to_parquet(tmp_path / "a")
    assert values(tmp_path / "a", spec("classification", "post.text")) == [("a", "x")]
    with pytest.raises(
        ConfigError, match=r"a has no column 'post\.txt' \(did you mean 'post\.text'\?\); columns: post\.t"
    ):
        values(tmp_path / "a", spec("classification", "post.txt"))


@pytest.mark.parametrize(
    ("columns", "task", "message"),
    [
        (
            {"text": [1], "label": ["x"]},
            spec("classification"),
            r"a: text must be texts, got Value\('int64'\); name ano",
        ),
        ({"text": [{"a": "x"}], "label": ["x"]}, spec("classification"), r"a: text must be texts, got \{'a': Value"),
        ({"text": [b"x"], "label": ["x"]}, spec("classification"), r"a: text must be texts, got Value\('binary'\)"),
        ({"text": ["x"], "label": [["x"]]}, spec("classification"), r"a: label must be class names or ids, got List"),
        ({"text": ["x"], "label": [True]}, spec("regression"), r"a: label must be numbers, got Value\('bool'\)"),
        ({"text": ["x"], "label": [["O"]]}, spec("ner"), r"a: text must be lists of texts, got Value\('string'\)"),
        ({"text": [[["x"]]], "label": [["O"]]}, spec("ner"), r"a: text must be lists of texts, got List\(List"),
        (
            {"text": [["x"]], "label": [[0]]},
            spec("ner"),
            r"a: label must be lists of tags with names .*ClassLabel\), got",
        ),
        ({"text": [["x"]], "label": ["O"]}, spec("ner"), r"a: label must be lists of tags with names"),
    ],
)
def test_features_that_do_not_fit_are_refused(
    columns: dict[str, Any], task: TaskSpec, message: str, tmp_path: Path
) -> None:
    Dataset.from_dict(columns).to_parquet(tmp_path / "a")
    with pytest.raises(DataError, match=message):
        values(tmp_path / "a", task)


@pytest.mark.parametrize("label", [-2, 5, -100])
def test_an_id_without_a_name_is_not_the_name_of_another(label: int) -> None:
    dataset = ner([[0]], List(ClassLabel(names=TAGS)))
    table = dataset.data.table.set_column(
        1, dataset.data.schema.field("tags"), pa.array([[0, label]], pa.list_(pa.int64()))
    )
    task = spec("ner", "tokens", "tags")
    with pytest.raises(
        DataError, match=rf"x:1: tags must hold ids from 0 to 4 \(O, B-PER, .*\), got {label}; correct it"
    ):
        list(dataset_records(Dataset(datasets.table.InMemoryTable(table)), task, "x", first=1))


def test_rows_without_a_class_keep_what_they_have() -> None:
    dataset, task = moods([0, -1, None], ClassLabel(names=["a", "b"])), spec("classification")
    read = dataset_records(dataset.select_columns(["text", "label"]), task, "x", first=1)
    assert [(record.values["label"], record.source) for record in read] == [("a", "x:1"), (-1, "x:2"), (None, "x:3")]
    assert has_names(dataset, task)
    assert not has_names(moods([0]), task)
    assert declared_labels(moods([0]), task) is None


@pytest.mark.parametrize("content", [b"", b"text,label\n", b"PAR1", b"ARROW1\0\0", b"PAR1" + b"\0" * 90 + b"PAR1"])
def test_a_damaged_file_is_one_line(write: Write, content: bytes) -> None:
    with pytest.raises(DataError, match=r"data file \S*a\.parquet must be a whole Parquet or Arrow file: ") as raised:
        read_arrow(write("a.parquet", content))
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match="must exist"):
        read_arrow(Path("no.parquet"))


def test_nothing_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moods(["a"]).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    assert len(values(tmp_path / "a.parquet", spec("classification"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]

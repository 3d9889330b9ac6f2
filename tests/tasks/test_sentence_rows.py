from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aebert.config import DataConfig, TaskConfig
from aebert.errors import AebertError, ConfigError, DataError
from aebert.tasks.load import load_task
from aebert.tasks.task import ROLES, Task

PAIRS = "a\tb\tscore\n"


def _task(tmp_path: Path, files: dict[str, str], task: dict[str, Any] | None = None, **data: Any) -> Task:
    """Files by split, with what is in them; tables of pairs end in .tsv, others in .txt."""
    paths = {}
    for split, content in files.items():
        paths[split] = tmp_path / f"{split}{'.tsv' if content.startswith(PAIRS) else '.txt'}"
        paths[split].write_text(content, encoding="utf-8")
    config = TaskConfig(**{"name": "mine", "kind": "embedding", **(task or {})})
    return load_task(config, DataConfig(files=paths, **data), None, 0)


def _pairs(*pairs: tuple[str, str]) -> str:
    return PAIRS + "".join(f"{one}\t{other}\t{place}.5\n" for place, (one, other) in enumerate(pairs))


SCORED = {"text": ("a", "b"), "label": "score"}


def test_lines_of_one_file_are_divided_and_no_sentence_is_twice(tmp_path: Path) -> None:
    lines = [f"sentence {number}" for number in range(100)]
    task = _task(tmp_path, {"all": "\n".join([*lines, "", " ", *lines[:30]])})
    texts = {role: [row.text for row in task.rows[role]] for role in ROLES}
    everything = [text for role in ROLES for text in texts[role]]
    assert len(everything) == len(set(everything)) == 100
    assert all(len(texts[role]) > 5 for role in ROLES)
    assert len(texts["train"]) > 50
    assert (task.spec.metric, task.spec.headline, task.spec.columns) == ("agreement", "agreement", ("sentence",))
    assert any("dropped from train" in note for note in task.notes)


def test_pairs_are_scored_and_their_sentences_calibrate(tmp_path: Path) -> None:
    files = {
        "train": _pairs(("one", "two"), ("two", "three"), ("seven", "six")),
        "dev": _pairs(*((f"dev {place}", f"other {place}") for place in range(9)), ("test b", "test a")),
        "test": _pairs(("test a", "test b"), ("six", "nine"), ("six", "nine")),
    }
    task = _task(tmp_path, files, SCORED)
    assert [row.text for row in task.rows["train"]] == [("one",), ("two",), ("three",), ("seven",)]  # six is reported
    assert task.rows["train"][2].source.endswith("train.tsv:3")
    assert [(row.text, row.label) for row in task.rows["report"]] == [
        (("test a", "test b"), 0.5),
        (("six", "nine"), 1.5),
        (("six", "nine"), 2.5),
    ]
    assert len(task.rows["search"]) + len(task.rows["select"]) == 9  # the turned pair is left out
    assert any("the same pair stands in a later role" in note for note in task.notes)
    assert task.spec.headline == "spearman"


def test_own_sentences_beside_pairs(tmp_path: Path) -> None:
    many = _pairs(*((f"dev {place}", f"other {place}") for place in range(9)))
    files = {"train": "one\ntwo\nthree\ndev 3\n", "dev": many, "test": _pairs(("x", "y"))}
    task = _task(tmp_path, files, SCORED, limits={"train": 2})
    assert len(task.rows["train"]) == 2
    assert {row.text for row in task.rows["train"]} < {("one",), ("two",), ("three",)}


REFUSED: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, Any], type[AebertError], str]] = {
    "pairs without scores": (
        {"all": _pairs(("x", "y"))}, {"text": ("a", "b")}, {}, ConfigError, "task.label must name the column with the"
    ),
    "a score of one": ({"all": "x"}, {"text": ("a",), "label": "score"}, {}, ConfigError, "two columns of the pairs"),
    "three texts": ({"all": "x"}, {"text": ("a", "b", "c"), "label": "s"}, {}, ConfigError, "one column of sentences"),
    "sentences where pairs must be": (
        {"train": "one\ntwo", "dev": "three\nfour\nfive\nsix", "test": _pairs(("x", "y"))}, SCORED, {}, ConfigError,
        r"role search must have pairs with a score, .*dev.txt:\d is a sentence; set data.roles.search",
    ),
    "a score that is none": (
        {"train": "one", "dev": _pairs(("x", "y"), ("z", "y")), "test": f"{PAIRS}x\tz\thigh\n"}, SCORED, {}, DataError,
        r"test.tsv:2: score must be a finite number, got 'high'",
    ),
    "another metric": ({"all": "x"}, {"metric": "accuracy"}, {}, ConfigError, "must be agreement, got accuracy"),
    "labels": ({"all": "x"}, {"labels": ("a", "b")}, {}, ConfigError, "must not be given for embedding"),
    "an empty file": ({"all": " \n"}, {}, {}, DataError, "must have at least one sentence, it is empty"),
    "a format for words": ({"all": "x"}, {}, {"format": "conll"}, ConfigError, "data.format of embedding data must be"),
    "too few": ({"all": "x\ny\nz"}, {}, {}, DataError, "must have at least one row"),
    "nothing left": (
        {"train": "x\ny", "dev": _pairs(("x", "y"), ("y", "z"), ("x", "z")), "test": _pairs(("x", "q"))}, SCORED, {},
        DataError, "role train must have at least one row, but all stand in other roles too",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    files, task, data, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        _task(tmp_path, files, task, **data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["pooling", "normalize", "corpus"])
def test_keys_of_embeddings_are_refused_for_other_tasks(key: str, tmp_path: Path) -> None:
    value: Any = {"pooling": "mean", "normalize": False, "corpus": Path("x.txt")}[key]
    given: dict[str, Any] = {key: value}
    with pytest.raises(ValueError, match=f"{key} must be left out unless kind is embedding"):
        TaskConfig(name="mine", kind="regression", **given)
    with pytest.raises(ConfigError, match=f"task.{key} is for embeddings, sst2 is a task of kind classification"):
        load_task(TaskConfig(name="sst2", **given), DataConfig(), tmp_path, 0)


def test_sts_pairs_in_their_official_layout(tmp_path: Path) -> None:
    folder = tmp_path / "STS-B" / "original"
    folder.mkdir(parents=True)
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    for split, count in (("train", 3), ("dev", 9)):
        rows = [f"{n}\tg\tf\ty\t{n}\ta\tb\t{split} one {n}\t{split} two {n}\t{n % 5}.0\n" for n in range(count)]
        (folder.parent / f"{split}.tsv").write_text(header + "".join(rows))
    (folder / "sts-test.tsv").write_text("g\tf\ty\t0\t2.5\ttest one\ttest two\n")
    task = load_task(TaskConfig(name="stsb-embedding"), DataConfig(), tmp_path, 0)
    assert [row.text for row in task.rows["train"]][:2] == [("train one 0",), ("train two 0",)]
    assert [(row.text, row.label) for row in task.rows["report"]] == [(("test one", "test two"), 2.5)]

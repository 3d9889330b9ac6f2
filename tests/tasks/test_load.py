from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from aebert.config import DataConfig, TaskConfig
from aebert.errors import AebertError, ConfigError, DataError
from aebert.sections import check
from aebert.tasks.load import load_task, rows_digest, task_spec
from aebert.tasks.task import Row, Task

Write = Callable[[str, str | bytes], Path]

MOOD = {"name": "mood", "kind": "classification", "text": ["text"], "label": "mood"}
TRAIN = "text,mood\n" + "".join(f"text {i},{'good' if i % 3 else 'bad'}\n" for i in range(50))
DEV = "text,mood\nd,good\n"


def load(task: dict[str, Any], data: dict[str, Any], root: Path | None, seed: int = 0) -> Task:
    return load_task(check(TaskConfig, task, "test"), check(DataConfig, data, "test"), root, seed)


def files(**paths: str) -> dict[str, Any]:
    return {"files": paths}


def test_own_csv(write: Write, tmp_path: Path) -> None:
    write("own/train.csv", TRAIN)
    write("own/dev.csv", DEV)
    task = load(MOOD, files(train="own/train.csv", dev="own/dev.csv"), tmp_path)
    assert task.spec.labels == ("bad", "good")
    assert (task.spec.metric, task.spec.headline, task.spec.num_outputs) == ("accuracy", "accuracy", 2)
    assert {role: len(rows) for role, rows in task.rows.items()} == {"train": 40, "search": 6, "select": 4, "report": 1}
    assert task.rows["report"] == [Row(("d",), 1)]
    assert task.notes == ("class 'bad' occurs in train, search and select rows only",)


def test_relative_files_start_at_the_working_directory_without_a_root(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("train.csv", TRAIN)
    write("dev.csv", DEV)
    monkeypatch.chdir(tmp_path)
    assert len(load(MOOD, files(train="train.csv", dev="dev.csv"), None).rows["report"]) == 1
    with pytest.raises(DataError, match=r"below/train\.csv must exist"):
        load(MOOD, files(train="train.csv", dev="dev.csv"), tmp_path / "below")


def test_a_registered_task_from_a_headerless_tsv(write: Write, tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        write(f"{split}.tsv", "".join(f'{split} "{i}\t{i % 2}\n' for i in range(9)))
    data = {**files(train="train.tsv", dev="dev.tsv", test="test.tsv"), "header": ["sentence", "label"]}
    task = load({"name": "sst2"}, data, tmp_path)
    assert task.spec.labels == ("negative", "positive")
    assert [row.text[0] for row in task.rows["report"]][:2] == ['test "0', 'test "1']
    assert [row.label for row in task.rows["train"]] == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_pairs_scores_and_json_lines(write: Write, tmp_path: Path) -> None:
    row = '{{"a": "x {0}", "b": "y", "score": {0}.5, "more": null}}\n'
    write("train.jsonl", "".join(row.format(i) for i in range(30)))
    write("dev.jsonl", row.format(99))
    task = load(
        {"name": "close", "kind": "regression", "text": ["a", "b"], "label": "score"},
        files(train="train.jsonl", dev="dev.jsonl"),
        tmp_path,
    )
    assert task.rows["report"] == [Row(("x 99", "y"), 99.5)]
    assert (task.spec.labels, task.spec.metric, task.spec.headline) == ((), "pearson_spearman", "spearman")


def test_labels_that_are_integers_are_sorted_as_numbers(write: Write, tmp_path: Path) -> None:
    write("train.tsv", "".join(f"t {i}\t{label}\n" for i, label in enumerate([2, -2, 10, -1] * 8)))
    write("dev.tsv", "d\t10\n")
    data = {**files(train="train.tsv", dev="dev.tsv"), "header": ["text", "mood"]}
    task = load(MOOD, data, tmp_path)
    assert task.spec.labels == ("-2", "-1", "2", "10")
    assert task.rows["report"][0].label == 3


@pytest.mark.parametrize("name", ["a.conll", "a.tsv", "a.jsonl"])
def test_own_entities_in_iob1(write: Write, tmp_path: Path, name: str) -> None:
    lines = "in{0} O\nRome I-LOC\nParis B-LOC\n\nAnn I-PER\nLee{0} I-PER\n\n"
    if name.endswith("jsonl"):
        lines = (
            '{{"tokens": ["in{0}", "Rome", "Paris"], "tags": ["O", "I-LOC", "B-LOC"]}}\n'
            '{{"tokens": ["Ann", "Lee{0}"], "tags": ["I-PER", "I-PER"]}}\n'
        )
    write(f"train/{name}", "".join(lines.format(i) for i in range(20)))
    write(f"dev/{name}", lines.format("!"))
    task = load({"name": "ner", "kind": "ner"}, files(train=f"train/{name}", dev=f"dev/{name}"), tmp_path)
    assert task.spec.labels == ("LOC", "PER")
    assert task.spec.tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert task.rows["report"] == [Row(("in!", "Rome", "Paris"), (0, 1, 1)), Row(("Ann", "Lee!"), (3, 4))]
    assert (task.spec.metric, task.spec.headline) == ("seqeval", "f1")


def test_given_labels_set_the_ids(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN)
    write("dev.csv", DEV)
    task = load({**MOOD, "labels": ["good", "so so", "bad"]}, files(train="train.csv", dev="dev.csv"), tmp_path)
    assert task.rows["report"][0].label == 0
    assert task.spec.labels == ("good", "so so", "bad")


SPAM = {"name": "sms", "kind": "classification", "text": ["text"], "label": "label"}


GROUPS = {"negative": [-2, -1], "neutral": [0], "positive": [1, 2]}


def test_classes_that_the_data_calls_otherwise(write: Write, tmp_path: Path) -> None:
    _tweets(write, "-2", "0", " 2", "-1")
    task = _load({"labels": GROUPS}, tmp_path)
    assert task.spec.labels == ("negative", "neutral", "positive")
    assert [row.label for row in task.rows["train"]] == [0, 1, 2, 0]
    _tweets(write, "-2", "0", "2", "3")
    with pytest.raises(DataError, match=r"train.csv:5: label must be a value that task.labels lists, got '3'"):
        _load({"labels": GROUPS}, tmp_path)
    # the name of a class is no value of the data, nor is its id
    _tweets(write, "-2", "0", "2", "positive")
    with pytest.raises(DataError, match=r"got 'positive'; known: -2, -1, 0, 1, 2"):
        _load({"labels": GROUPS}, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": {"low": [0, 1], "high": [1]}}, "a value of the data must be of one class, got '1' twice"),
        ({"labels": {"low": [0], "high": []}}, "each class must list at least one value of the data"),
        ({"labels": {"all": [0, 1]}}, "two or more for classification"),
        ({"kind": "regression", "labels": {"low": [0], "high": [1]}}, "task.labels must not be given for regression"),
        ({"kind": "ner", "text": None, "label": None, "labels": {"A": ["B"]}}, "must be a list for ner, got a mapping"),
    ],
)
def test_groups_that_can_not_be_meant(write: Write, tmp_path: Path, values: dict[str, object], message: str) -> None:
    _tweets(write, "0", "1")
    with pytest.raises(ConfigError) as caught:
        _load(values, tmp_path)
    assert message in str(caught.value)


_SPLITS = ("train", "dev", "test")


def _tweets(write: Write, *labels: str) -> None:
    for split in _SPLITS:
        write(f"{split}.csv", "text,label\n" + "".join(f"{split} {n},{label}\n" for n, label in enumerate(labels)))


def _load(task: dict[str, object], root: Path) -> Task:
    values = {"name": "tweets", "kind": "classification", "text": ["text"], "label": "label", **task}
    config = check(TaskConfig, values, "test")
    return load_task(config, DataConfig(files={split: Path(f"{split}.csv") for split in _SPLITS}), root, 0)


def test_an_excel_file_with_other_names(write: Write, tmp_path: Path) -> None:
    lines = [f"{'spam' if i % 3 else 'ham'};Größe {i}, 5;;\r\n" for i in range(30)]
    write("train.csv", ("v1;v2;;\r\n" + "".join(lines) + ";;;\r\n").encode("cp1252"))
    write("dev.csv", "\ufeffv1;v2;;\r\nspam;Naïve;;\r\n".encode("utf-16"))
    data = {**files(train="train.csv"), "header": {"v1": "label", "v2": "text"}, "encoding": "cp1252"}
    roles = {"train": "train[:50%]", "search": "train[50%:70%]", "select": "train[70%:80%]", "report": "train[80%:]"}
    task = load(SPAM, {**data, "roles": roles}, tmp_path)
    assert sum(map(len, task.rows.values())) == 30
    assert task.spec.labels == ("ham", "spam")
    assert {row.text[0] for rows in task.rows.values() for row in rows} == {f"Größe {i}, 5" for i in range(30)}
    with pytest.raises(DataError, match=r"train\.csv:2 must be UTF-8 text, .* such as cp1252 \(which reads 'ham;Größe"):
        load(SPAM, {**data, "encoding": "utf-8"}, tmp_path)
    with pytest.raises(DataError, match=r"dev\.csv:1 must be UTF-8 text, .*UTF-16; set data\.encoding to utf-16"):
        load(SPAM, {**files(train="dev.csv"), "header": data["header"]}, tmp_path)


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("names", [("neg", "pos"), ("pos", "neg")])
def test_parquet_and_arrow_files(ending: str, names: tuple[str, str], tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(names))})
    table = Dataset.from_dict({"text": [f"t {i}" for i in range(60)], "label": [0, 1] * 30}, features=features)
    for number, part in enumerate((table.select(range(40)), table.select(range(40, 60)))):
        part.to_parquet(tmp_path / f"train-{number}.parquet")
        with pa.OSFile(str(tmp_path / f"train-{number}.arrow"), "wb") as file:
            flat = part.flatten_indices().data.table
            with pa.ipc.new_stream(file, flat.schema) as writer:
                writer.write_table(flat)
    table.select([1]).map(lambda _: {"text": "new"}).to_parquet(tmp_path / "dev.parquet")
    task = load(SPAM, files(train=f"train-*.{ending}", dev="dev.parquet"), tmp_path)
    assert task.spec.labels == names
    assert sum(len(task.rows[role]) for role in ("train", "search", "select")) == 60
    assert task.rows["report"] == [Row(("new",), 1)]
    assert task.rows["train"][0].source.startswith(str(tmp_path / f"train-0.{ending}:"))


def test_entities_from_parquet(tmp_path: Path) -> None:
    features = Features({"tokens": List(Value("string")), "tags": List(ClassLabel(names=["O", "B-Y", "I-Y", "B-X"]))})
    table = Dataset.from_dict({"tokens": [[f"w{i}", "v"] for i in range(30)], "tags": [[1, 2]] * 30}, features=features)
    table.to_parquet(tmp_path / "train.parquet")
    Dataset.from_dict({"tokens": [["a", "b"]], "tags": [[0, 3]]}, features=features).to_parquet(
        tmp_path / "dev.parquet"
    )
    task = load({"name": "n", "kind": "ner"}, files(train="train.parquet", dev="dev.parquet"), tmp_path)
    assert task.spec.labels == ("Y", "X")
    assert task.rows["report"] == [Row(("a", "b"), (0, 3))]
    assert task.notes == (
        "entity type 'Y' occurs in train, search and select rows only",
        "entity type 'X' occurs in report rows only",
    )


def test_documents_of_brat(write: Write, tmp_path: Path) -> None:
    for number in range(20):
        write(f"docs/{number}.txt", f"Ann {number} won. Bo {number} lost.")
        write(f"docs/{number}.ann", "T1\tPER 0 3\tAnn\nR1\tx Arg1:T1 Arg2:T1\n")
    roles = {"train": "all[:60%]", "search": "all[60%:75%]", "select": "all[75%:90%]", "report": "all[90%:]"}
    ner = {"name": "n", "kind": "ner", "labels": ["PER"]}
    task = load(ner, {**files(all="docs"), "roles": roles}, tmp_path)
    assert {role: len(rows) for role, rows in task.rows.items()} == {"train": 24, "search": 6, "select": 6, "report": 4}
    documents = [{row.document for row in rows} for rows in task.rows.values()]
    assert len(set().union(*documents)) == sum(map(len, documents)) == 20
    assert task.notes == (
        "BRAT: documents 20, spans 20, tagged 20",
        "BRAT annotations that are not read: relations 20",
    )
    same = load(ner, {**files(all="docs/*.txt"), "format": "brat", "roles": roles}, tmp_path)
    assert same == task
    for ending in ("txt", "ann"):
        write(f"docs/empty.{ending}", "")
    assert (
        load(ner, {**files(all="docs/*.txt"), "format": "brat", "roles": roles}, tmp_path)
        .notes[0]
        .startswith("BRAT: documents 21, spans 20")
    )


def test_paths_may_start_at_home(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write("docs/1.txt", "Ann won. Bo lost. Al won. Di lost.")
    write("docs/1.ann", "T1\tPER 0 3\tAnn\n")
    roles = {"train": "all[:60%]", "search": "all[60%:80%]", "select": "all[80%:90%]", "report": "all[90%:]"}
    with pytest.raises(
        DataError, match=r"role train \(all\[:60%\]\) must have at least one row, but the part is empty"
    ):
        load({"name": "n", "kind": "ner"}, {**files(all="~/docs"), "roles": roles}, None)


def test_windows_are_for_sentences_and_make_other_rows(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN)
    with pytest.raises(ConfigError, match=r"^data\.window must be false for classification \(only .*\), got true$"):
        load(MOOD, {**files(train="none.csv"), "window": True}, tmp_path)
    for split in _SPLITS:
        write(f"{split}.conll", "".join(f"{split}{number}\tB-X\n\n" for number in range(9)))
    data, task = files(train="train.conll", dev="dev.conll"), {"name": "n", "kind": "ner"}
    cut, windows = load(task, data, tmp_path), load(task, {**data, "window": True}, tmp_path)
    assert (cut.spec.window, windows.spec.window, windows.rows) == (False, True, cut.rows)
    assert all(windows.digests[role] != digest for role, digest in cut.digests.items())


def test_another_metric(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN)
    write("dev.csv", DEV)
    task = load({**MOOD, "metric": "matthews"}, files(train="train.csv", dev="dev.csv"), tmp_path)
    assert (task.spec.metric, task.spec.headline) == ("matthews", "matthews")


def test_roles_limits_and_notes(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN)
    write("held.csv", "text,mood\ntext 1,good\nz,bad\n")
    data = {
        **files(fit="train.csv", held="held.csv"),
        "roles": {"train": "fit[:50%]", "search": "fit[50%:75%]", "select": "fit[75%:]", "report": "held"},
        "limits": {"search": 5},
    }
    task = load(MOOD, data, tmp_path)
    assert len(task.rows["search"]) == 5
    assert len(task.rows["report"]) == 2
    assert len(task.notes) == 2
    assert task.notes[0].startswith("1 row dropped from ")
    assert task.notes[1].startswith("class 'bad' occurs in train, select and report rows only")


def test_the_embedded_task_is_generated_and_says_so() -> None:
    task = load({}, {"limits": {"train": 10}}, None)
    assert task.spec.name == "endpoints-synthetic"
    assert len(task.rows["train"]) == 10
    assert "SYNTHETIC" in task.notes[0]


def test_a_glue_task_comes_from_the_root(write: Write, tmp_path: Path) -> None:
    write("SST-2/train.tsv", "sentence\tlabel\n" + "".join(f"t {i}\t{i % 2}\n" for i in range(50)))
    write("SST-2/dev.tsv", "sentence\tlabel\nd\t1\n")
    assert load({"name": "sst2"}, {}, tmp_path).rows["report"] == [Row(("d",), 1)]


def test_a_root_without_the_task_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("the hub must not be asked"))
    with pytest.raises(DataError, match="looked for"):
        load({"name": "sst2"}, {}, tmp_path)


def hub(monkeypatch: pytest.MonkeyPatch, loaded: DatasetDict) -> list[tuple[str, str | None]]:
    asked: list[tuple[str, str | None]] = []

    def load_dataset(name: str, config: str | None) -> DatasetDict:
        asked.append((name, config))
        return loaded

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_glue_task_without_a_root_comes_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    features = Features(
        {
            "sentence1": Value("string"),
            "sentence2": Value("string"),
            "label": ClassLabel(names=["entailment", "not_entailment"]),
        }
    )
    columns = {"sentence1": [f"a {i}" for i in range(50)], "sentence2": ["b"] * 50, "label": [0, 1] * 25}
    train = Dataset.from_dict(columns, features=features)
    dev = Dataset.from_dict({"sentence1": ["x"], "sentence2": ["y"], "label": [1]}, features=features)
    asked = hub(monkeypatch, DatasetDict({"train": train, "validation": dev}))
    task = load({"name": "rte"}, {}, None)
    assert asked == [("nyu-mll/glue", "rte")]
    assert task.rows["report"] == [Row(("x", "y"), 1)]
    load({"name": "rte"}, {"hub": "nyu-mll/glue"}, Path("unused"))
    assert asked[1:] == [("nyu-mll/glue", "rte")]


def test_own_data_of_the_hub_keeps_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    features = Features({"words": List(Value("string")), "ner": List(ClassLabel(names=tags))})
    train = Dataset.from_dict({"words": [[f"Rome{i}"] for i in range(50)], "ner": [[3]] * 50}, features=features)
    dev = Dataset.from_dict({"words": [["Ann", "Lee"]], "ner": [[1, 2]]}, features=features)
    asked = hub(monkeypatch, DatasetDict({"train": train, "validation": dev}))
    task = load(
        {"name": "o", "kind": "ner", "text": ["words"], "label": "ner"}, {"hub": "me/o", "hub_config": "en"}, None
    )
    assert asked == [("me/o", "en")]
    assert task.spec.labels == ("PER", "LOC")
    assert task.rows["report"] == [Row(("Ann", "Lee"), (1, 2))]


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ({"name": "sst-2"}, {}, r"unknown task 'sst-2' \(did you mean 'sst2'\?\).*own data needs task\.kind"),
        (MOOD, {}, r"task mood with own columns must have its data in data\.files or data\.hub, got neither"),
        ({"name": "x", "kind": "regression", "text": ["a"]}, {}, r"task\.text and task\.label must name the columns"),
        ({**MOOD, "text": ["a", "b", "c"]}, {}, r"one column, or two for a pair of texts, got \['a', 'b', 'c'\]"),
        ({**MOOD, "labels": ["a", "a"]}, {}, r"task\.labels must be different names"),
        ({**MOOD, "labels": ["a"]}, {}, r"task\.labels must be different names, two or more"),
        ({"name": "n", "kind": "ner", "labels": ["B-LOC"]}, {}, r"without O, B- and I-, got 'B-LOC'"),
        ({**MOOD, "kind": "regression", "labels": ["a", "b"]}, {}, r"must not be given for regression"),
        ({**MOOD, "metric": "seqeval"}, {}, r"task\.metric must be one for classification \(accuracy, accuracy_f1, ma"),
        ({**MOOD, "metric": "f2"}, {}, r"unknown metric 'f2'"),
        ({"name": "sst2", "kind": "ner"}, {}, r"task\.kind of sst2 is classification, got ner; leave it out"),
        ({"name": "sst2", "labels": ["a", "b"]}, {}, r"task\.labels of sst2 are \['negative', 'positive'\], got"),
        ({"name": "rte", "text": ["a"]}, {}, r"task\.text of rte must be 2 columns, got \['a'\]"),
        ({"name": "sst2", "text": ["a"]}, {}, r"task sst2 with own columns must have its data in data\.files"),
        (
            MOOD,
            files(train="a.txt"),
            r"file \S*a\.txt must end in one of \.csv, \.tsv, \.jsonl, \.parquet, \.arrow, or data\.format must be set",
        ),
        (
            MOOD,
            {**files(train="a.csv"), "format": "conll"},
            r"classification data must be one of csv, .*, arrow, got conll",
        ),
        (
            {"name": "n", "kind": "ner"},
            {**files(train="a"), "format": "tsv"},
            r"NER data must be one of conll, jsonl, parquet, arrow, brat, got tsv; conll reads",
        ),
        (
            {"name": "n", "kind": "ner"},
            {**files(train="a"), "header": ["a"]},
            r"data\.header is for CSV and TSV files, got it for \S*a, which is read as conll; leave it out",
        ),
        (MOOD, {**files(train="a.jsonl"), "header": {"a": "b"}}, r"data\.header is for CSV and TSV files, got it for "),
        (MOOD, {**files(train="a.tsv"), "separator": ";"}, r"data\.separator is for CSV files, .* read as tsv; leave"),
        (MOOD, {**files(train="a.arrow"), "encoding": "cp1252"}, r"data\.encoding is for text files, .* read as arrow"),
    ],
)
def test_what_a_config_can_get_wrong(task: dict[str, Any], data: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load(task, data, tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("train", "dev", "change", "message"),
    [
        (
            TRAIN,
            "text,mood\nd,god\n",
            {},
            r"dev\.csv:2: mood must be a class of mood, got 'god' \(did you mean 'good'\?\)",
        ),
        (
            "text,mood\na,x\nb,x\n",
            DEV,
            {},
            r"train\.csv: column 'mood' must have at least two classes, got only 'x' in 2",
        ),
        (
            TRAIN,
            DEV,
            {"label": "moot"},
            r"train\.csv:2 has no column 'moot' \(did you mean 'mood'\?\); columns: text, mood",
        ),
        ("", DEV, {}, r"train\.csv must have at least one row, it is empty"),
        ("text,mood\n,\n", DEV, {}, r"train\.csv must have at least one row, it is empty"),
        (TRAIN + ",good\n", DEV, {}, r"train\.csv:52: text must not be empty or blank, got ''; delete the row"),
        (TRAIN, DEV + "  ,bad\n", {}, r"dev\.csv:3: text must not be empty or blank, got '  '; delete the row"),
        (TRAIN + "x,\n", DEV, {}, r"train\.csv:52: mood must be a class name or id, got ''"),
        (TRAIN + "x,nan\n", DEV, {}, r"train\.csv:52: a label in column 'mood' must not be missing, got 'nan' \(1×\)"),
        (
            TRAIN + "x,Good\n",
            DEV,
            {},
            r"train\.csv:52: labels in column 'mood' differ in case only: 'Good' \(1×\)",
        ),
        (
            TRAIN + "x, good\n",
            DEV,
            {},
            r"labels in column 'mood' look the same: ' good' \(1×\) and 'good' \(33×\); correct the rows",
        ),
        (
            TRAIN,
            DEV + "x,Bad\n",
            {},
            r"dev\.csv:3: mood must be a class .*'Bad', which differs from 'bad' in case only",
        ),
        (
            TRAIN,
            DEV + "x,1\n",
            {},
            r"dev\.csv:3: mood must be a class name, since other rows .* have names \(\S*dev\.csv:2",
        ),
        (
            TRAIN,
            "text,mood\nx,1\n",
            {},
            r"dev\.csv:2: mood must be a class name, since task\.labels is not given, got '1'",
        ),
        (
            TRAIN.replace("good", "1").replace("bad", "2"),
            "text,mood\nd,1\n",
            {"labels": ["bad", "fair", "good"]},
            r"class ids in column 'mood' must start at 0, as task\.labels does, got 1, 2; use names",
        ),
        (
            "text,mood\na,x\nb,x\nc,x\n",
            "text,mood\nd,x\n",
            {"labels": ["x", "y"]},
            r"role search .* must have at least one row",
        ),
        (
            TRAIN.replace("good", "bad"),
            DEV,
            {"labels": ["bad", "good"]},
            r"role train must .* got only 'bad' in 40 rows",
        ),
        (
            TRAIN.replace("good", "ok", 1),
            DEV,
            {"metric": "accuracy_f1"},
            r"accuracy_f1 needs 2 classes, got 3: \['bad'",
        ),
    ],
)
def test_what_data_can_get_wrong(
    write: Write, tmp_path: Path, train: str, dev: str, change: dict[str, Any], message: str
) -> None:
    write("train.csv", train)
    write("dev.csv", dev)
    with pytest.raises(AebertError, match=message) as raised:
        load({**MOOD, **change}, files(train="train.csv", dev="dev.csv"), tmp_path)
    assert "\n" not in str(raised.value)


def test_ids_are_those_of_the_labels_that_are_stated(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN.replace("good", "1").replace("bad", "0"))
    write("dev.csv", DEV)
    task = load({**MOOD, "labels": ["so", "good"]}, files(train="train.csv", dev="dev.csv"), tmp_path)
    assert task.rows["report"] == [Row(("d",), 1)]
    assert sum(row.label == 1 for row in task.rows["train"]) > 20


def test_names_with_a_blank_before_each_are_those_without(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN.replace(",", ", "))
    write("dev.csv", DEV)
    task = load(MOOD, files(train="train.csv", dev="dev.csv"), tmp_path)
    assert (task.spec.labels, task.rows["report"][0].label) == (("bad", "good"), 1)


def test_classes_that_differ_in_case_stay_apart(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN.replace("bad", "Good"))
    write("dev.csv", DEV)
    paths = files(train="train.csv", dev="dev.csv")
    task = load(MOOD, paths, tmp_path)
    assert task.spec.labels == ("Good", "good")
    assert "taken as different, although they differ in case only: 'Good' (17×) and 'good' (33×)" in task.notes
    write("train.csv", TRAIN + "x,Good\n")
    assert load({**MOOD, "labels": ["bad", "good", "Good"]}, paths, tmp_path).spec.labels == ("bad", "good", "Good")


def test_entity_types_that_look_like_a_mistake_are_refused(write: Write, tmp_path: Path) -> None:
    write("train.conll", "Rome\tB-LOC\n\n" * 30 + "Oslo\tB-Loc\n")
    write("dev.conll", "Bonn\tB-LOC\n")
    with pytest.raises(DataError, match=r"train\.conll:61: labels in the tags differ in case only: 'LOC' \(30×"):
        load({"name": "ner", "kind": "ner"}, files(train="train.conll", dev="dev.conll"), tmp_path)


def test_a_header_line_read_as_a_row_is_refused(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN.replace("text,mood", "body,kind", 1))
    write("dev.csv", "d,good\n")
    data = {**files(train="train.csv", dev="dev.csv"), "header": ["text", "mood"]}
    message = r"train\.csv:1: the first line must be a row, .* its class 'kind' occurs nowhere else; map the names"
    with pytest.raises(DataError, match=message):
        load(MOOD, data, tmp_path)
    write("train.csv", TRAIN)
    with pytest.raises(
        DataError, match=r"train\.csv:1 must be a row, but it repeats the header line; delete .* data\.header out"
    ):
        load(MOOD, data, tmp_path)


def test_texts_that_may_be_missing_values_are_noted(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN + "NaN,good\nnull,bad\nnone of it,bad\n")
    write("dev.csv", DEV)
    task = load(MOOD, files(train="train.csv", dev="dev.csv"), tmp_path)
    place = tmp_path / "train.csv"
    assert task.notes[0] == f"texts of train such as 'NaN' are read as texts, not as missing: 2 ({place}:52 first)"


def test_a_quoted_tsv_needs_a_word(write: Write, tmp_path: Path) -> None:
    write("train.tsv", TRAIN.replace(",", "\t").replace("text 7", '"a ""7"""'))
    write("dev.tsv", DEV.replace(",", "\t"))
    paths = files(train="train.tsv", dev="dev.tsv")
    with pytest.raises(DataError, match=r"train\.tsv:9 must not quote values"):
        load(MOOD, paths, tmp_path)
    ways: list[dict[str, str]] = [{"format": "tsv"}, {"format": "csv", "separator": "\t"}]
    tasks = [load(MOOD, {**paths, **way}, tmp_path) for way in ways]
    every = [{row.text[0] for rows in task.rows.values() for row in rows} for task in tasks]
    texts = [found & {'a "7"', '"a ""7"""'} for found in every]
    assert texts == [{'"a ""7"""'}, {'a "7"'}]


@pytest.mark.parametrize("name", ["a?b", "a#b%20", "it's “ü”", "[a]*"])
def test_names_may_have_any_character(write: Write, tmp_path: Path, name: str) -> None:
    for ending, content in (("csv", TRAIN), ("tsv", TRAIN.replace(",", "\t"))):
        write(f"{name}/{name}.{ending}", content)
    Dataset.from_dict({"text": ["d"], "mood": ["good"]}).to_parquet(tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / name / f"{name}.parquet")
    for ending in ("csv", "tsv"):
        paths = files(train=f"{name}/{name}.{ending}", dev=f"{name}/{name}.parquet")
        assert len(load(MOOD, paths, tmp_path).rows["report"]) == 1


def test_entities_must_be_known_and_there(write: Write, tmp_path: Path) -> None:
    write("train.conll", "Rome\tB-LOC\n\n" * 30)
    write("dev.conll", "in\tO\nAnn\tB-PER\n")
    ner = {"name": "ner", "kind": "ner"}
    paths = files(train="train.conll", dev="dev.conll")
    with pytest.raises(DataError, match=r"dev\.conll:2: entity type must be known .*got 'PER'; known: LOC; correct it"):
        load(ner, paths, tmp_path)
    write("train.conll", "Rome\tO\n\n" * 30)
    with pytest.raises(DataError, match=r"train\.conll: NER data must have at least one entity, all tags are O"):
        load(ner, paths, tmp_path)


def test_labels_are_found_in_the_split_that_trains(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN)
    with pytest.raises(ConfigError, match=r"labels are found in the train split 'train', got only fit; name it in"):
        load(MOOD, files(fit="train.csv"), tmp_path)


def test_digests_tell_contents_and_order() -> None:
    rows = [Row(text=("a",), label=0, source="x:1"), Row(text=("b",), label=1, source="x:2")]
    moved = [Row(text=("a",), label=0, source="y:8"), Row(text=("b",), label=1, source="y:9")]
    # printf '[["a"], 0]\n[["b"], 1]\n' | sha256sum
    assert rows_digest(rows) == rows_digest(moved) == "5254bce70a46d8ab76bff89904143d81080bcda579288a6e6ec61b7cfb11145b"
    others = [rows[::-1], rows[:1], [Row(("a",), 1), rows[1]], [Row(("a", "b"), 0), rows[1]]]
    assert len({rows_digest(other) for other in [rows, *others]}) == 5


def test_same_seed_same_task(write: Write, tmp_path: Path) -> None:
    write("train.csv", TRAIN)
    write("dev.csv", DEV)
    digests = [load(MOOD, files(train="train.csv", dev="dev.csv"), tmp_path, seed).digests for seed in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]


def test_a_task_is_known_before_its_data() -> None:
    assert task_spec(TaskConfig(name="stsb", metric="pearson_spearman")).headline == "spearman"
    assert task_spec(TaskConfig(name="sst2", text=("text",), label="y")).columns == ("text",)


@pytest.mark.data
def test_a_real_ner_corpus(corpora: Path) -> None:
    paths = {"train": "train", "dev": "devel", "test": "test"}
    data = files(**{split: f"ner/bio/BioNLP13CG-IOB/{name}.tsv" for split, name in paths.items()})
    task = load({"name": "cg", "kind": "ner"}, data, corpora)
    counts = {role: len(rows) for role, rows in task.rows.items()}
    assert counts == {"train": 3033, "search": 672, "select": 331, "report": 1906}
    assert len(task.spec.labels) == 16


@pytest.mark.data
def test_the_real_sentence_level_sst2(corpora: Path) -> None:
    folder = "glue/SST2-sentence-level"
    data = {
        **files(**{split: f"{folder}/{split}.tsv" for split in ("train", "dev", "test")}),
        "header": ["sentence", "label"],
        "roles": {"train": "train", "search": "dev[:50%]", "select": "dev[50%:]", "report": "test"},
    }
    task = load({"name": "sst2"}, data, corpora)
    counts = {role: len(rows) for role, rows in task.rows.items()}
    assert counts["search"] + counts["select"] == 872
    assert (counts["train"] + 3, counts["report"]) == (6920, 1821)
    assert [sum(row.label == label for row in task.rows["report"]) for label in (0, 1)] == [912, 909]


@pytest.mark.data
def test_the_real_pico_corpus_by_document(corpora: Path) -> None:
    data = {
        **files(all="pico/PICO-Corpus-breast-cancer/pico_corpus_brat_annotated_files"),
        "roles": {"train": "all[:70%]", "search": "all[70%:80%]", "select": "all[80%:87%]", "report": "all[87%:]"},
    }
    task = load({"name": "pico", "kind": "ner"}, data, corpora)
    assert len(task.spec.labels) == 26
    documents = [{row.document for row in rows} for rows in task.rows.values()]
    assert len(set().union(*documents)) == sum(map(len, documents)) == 1011


@pytest.mark.data
def test_the_real_tweets_towards_a_topic(corpora: Path) -> None:
    folder = "tweets/semeval2017-4CE"
    data = {
        **files(
            train=f"{folder}/twitter-2016train-CE.tsv",
            dev=f"{folder}/twitter-2016dev-CE.tsv",
            test=f"{folder}/SemEval2017-task4-test.subtask-CE.english.txt",
        ),
        "header": ["id", "topic", "polarity", "text"],
        "format": "tsv",
    }
    spec = {"name": "tweets", "kind": "classification", "text": ["topic", "text"], "label": "polarity"}
    task = load(spec, data, corpora)
    assert task.spec.labels == ("-2", "-1", "0", "1", "2")
    assert (len(task.rows["train"]), len(task.rows["report"])) == (6000, 12379)

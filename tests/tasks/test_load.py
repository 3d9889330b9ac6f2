from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from aebert.config import DataConfig, TaskConfig, check
from aebert.errors import AebertError, ConfigError, DataError
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
    assert task.notes == ()


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
    assert len(task.notes) == 1
    assert task.notes[0].startswith("1 row dropped from ")


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
            r"file \S*a\.txt must end in \.csv, \.tsv or \.jsonl, or data\.format must be set",
        ),
        (MOOD, {**files(train="a.csv"), "format": "conll"}, r"must be csv, tsv or jsonl, got conll"),
        (
            {"name": "n", "kind": "ner"},
            {**files(train="a"), "format": "tsv"},
            r"NER data must be conll or jsonl, got tsv",
        ),
        (
            {"name": "n", "kind": "ner"},
            {**files(train="a"), "header": ["a"]},
            r"data\.header is for CSV and TSV tables",
        ),
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
    rows = [Row(("a",), 0, "x:1"), Row(("b",), 1, "x:2")]
    moved = [Row(("a",), 0, "y:8"), Row(("b",), 1, "y:9")]
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

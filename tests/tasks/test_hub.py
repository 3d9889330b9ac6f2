import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from aebert.errors import ConfigError, DataError
from aebert.tasks.catalog import GLUE_HUB, TASKS
from aebert.tasks.hub import from_dataset_dict, read_hub
from aebert.tasks.task import TaskSpec

NER = TaskSpec(
    name="ner", kind="ner", columns=("words",), label_column="ner_tags", labels=(), metric="seqeval", headline="f1"
)


def sst2(labels: list[int]) -> Dataset:
    features = Features(
        {"sentence": Value("string"), "label": ClassLabel(names=["negative", "positive"]), "idx": Value("int32")}
    )
    texts = [f"text {index}" for index in range(len(labels))]
    return Dataset.from_dict({"sentence": texts, "label": labels, "idx": [0] * len(labels)}, features=features)


def test_glue_splits_are_renamed_and_the_unlabelled_left_out() -> None:
    loaded = DatasetDict({"train": sst2([0, 1]), "validation": sst2([1]), "test": sst2([-1, -1])})
    read = from_dataset_dict(loaded, TASKS["sst2"], GLUE_HUB)
    assert read.labels == ("negative", "positive")
    assert read.notes == ()
    assert {split: [dict(r.values) for r in records] for split, records in read.splits.items()} == {
        "train": [{"sentence": "text 0", "label": "negative"}, {"sentence": "text 1", "label": "positive"}],
        "dev": [{"sentence": "text 0", "label": "positive"}],
    }
    assert read.splits["train"][1].source == "nyu-mll/glue:train:1"


def test_mnli_validation_matched_is_dev() -> None:
    features = Features(
        {
            "premise": Value("string"),
            "hypothesis": Value("string"),
            "label": ClassLabel(names=list(TASKS["mnli"].labels)),
        }
    )
    one = Dataset.from_dict({"premise": ["a"], "hypothesis": ["b"], "label": [2]}, features=features)
    loaded = DatasetDict({"train": one, "validation_matched": one, "validation_mismatched": one})
    assert list(from_dataset_dict(loaded, TASKS["mnli"], GLUE_HUB).splits) == ["train", "dev", "dev_mismatched"]


def test_missing_scores_of_glue_are_no_scores_elsewhere() -> None:
    scores = Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "label": [-1.0]})
    loaded = DatasetDict({"test": scores, "train": scores})
    assert len(from_dataset_dict(loaded, TASKS["stsb"], "me/own").splits["train"]) == 1
    with pytest.raises(DataError, match="must have labelled rows in column label, found none"):
        from_dataset_dict(loaded, TASKS["stsb"], GLUE_HUB)


def test_rows_without_a_label_among_others_are_noted() -> None:
    read = from_dataset_dict(DatasetDict({"train": sst2([0, -1, 1])}), TASKS["sst2"], "me/own")
    assert [record.source for record in read.splits["train"]] == ["me/own:train:0", "me/own:train:2"]
    assert read.notes == ("rows of me/own:train without a label are left out: 1",)


def test_rows_without_a_text_are_left_out_and_noted() -> None:
    texts = Dataset.from_dict({"sentence": ["a", " ", None, "b"], "label": ["x", "y", "x", "y"]})
    read = from_dataset_dict(DatasetDict({"train": texts}), TASKS["sst2"], "me/own")
    assert [record.values["sentence"] for record in read.splits["train"]] == ["a", "b"]
    assert read.notes == ("rows of me/own:train without a text are left out: 2",)
    official = from_dataset_dict(DatasetDict({"train": texts}), TASKS["sst2"], GLUE_HUB)
    assert len(official.splits["train"]) == 4


def test_two_splits_never_become_one() -> None:
    loaded = DatasetDict({"dev": sst2([0]), "validation": sst2([0, 1])})
    assert {split: len(rows) for split, rows in from_dataset_dict(loaded, TASKS["sst2"], "me/own").splits.items()} == {
        "dev": 1,
        "validation": 2,
    }
    loaded = DatasetDict({"validation": sst2([0]), "validation_matched": sst2([0, 1])})
    assert list(from_dataset_dict(loaded, TASKS["sst2"], "me/own").splits) == ["validation", "validation_matched"]


def test_ids_that_have_no_name_are_refused() -> None:
    names = ["O", "B-PER"]
    features = Features({"words": List(Value("string")), "ner_tags": List(ClassLabel(names=names))})
    one = Dataset.from_dict({"words": [["in", "Rome"]], "ner_tags": [[0, -1]]}, features=features)
    with pytest.raises(DataError, match=r"me/ner:train:0: ner_tags must hold ids from 0 to 1 \(O, B-PER\), got -1"):
        from_dataset_dict(DatasetDict({"train": one}), NER, "me/ner")


def test_tag_ids_become_names() -> None:
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    features = Features({"words": List(Value("string")), "ner_tags": List(ClassLabel(names=names))})
    one = Dataset.from_dict({"words": [["in", "Rome"]], "ner_tags": [[0, 3]]}, features=features)
    read = from_dataset_dict(DatasetDict({"train": one}), NER, "me/ner")
    assert read.labels == ("PER", "LOC")
    assert read.splits["train"][0].values == {"words": ["in", "Rome"], "ner_tags": ["O", "B-LOC"]}


def test_a_wrong_column_names_the_columns() -> None:
    with pytest.raises(ConfigError, match=r"me/own:train has no column 'words'; columns: sentence, label, idx"):
        from_dataset_dict(DatasetDict({"train": sst2([0])}), NER, "me/own")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("no route\nto host"),
        ValueError("no route"),
        datasets.exceptions.DatasetNotFoundError("no route"),
    ],
)
def test_a_failed_download_says_how_to_use_local_files(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(
        DataError, match=r"^data set nyu-mll/glue \(sst2\) can't be loaded .*: no route; set data\.root"
    ) as raised:
        read_hub(TASKS["sst2"], GLUE_HUB, "sst2")
    assert "\n" not in str(raised.value)

import pytest

from aebert.errors import ConfigError
from aebert.tasks.catalog import TASKS
from aebert.tasks.metrics import METRICS

# Columns and ClassLabel names of https://huggingface.co/datasets/nyu-mll/glue, metrics of the GLUE paper, table 1.
PAIR = ("sentence1", "sentence2")
GLUE = {
    "cola": (("sentence",), ("unacceptable", "acceptable"), "matthews"),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction"), "accuracy"),
    "mrpc": (PAIR, ("not_equivalent", "equivalent"), "accuracy_f1"),
    "qnli": (("question", "sentence"), ("entailment", "not_entailment"), "accuracy"),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate"), "accuracy_f1"),
    "rte": (PAIR, ("entailment", "not_entailment"), "accuracy"),
    "sst2": (("sentence",), ("negative", "positive"), "accuracy"),
    "stsb": (PAIR, (), "pearson_spearman"),
    "stsb-embedding": (PAIR, (), "pearson_spearman"),
    "wnli": (PAIR, ("not_entailment", "entailment"), "accuracy"),
}


def test_the_glue_tasks_and_the_embedded_one() -> None:
    assert list(TASKS) == [*GLUE, "endpoints-synthetic"]
    for name, expected in GLUE.items():
        assert (TASKS[name].columns, TASKS[name].labels, TASKS[name].metric) == expected


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_fits_its_metric(name: str) -> None:
    spec = TASKS[name]
    assert spec.name == name
    assert spec.kind in METRICS[spec.metric].kinds
    assert spec.headline == METRICS[spec.metric].headline
    assert METRICS[spec.metric].num_labels in (None, len(spec.labels))


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'sst-2' \(did you mean 'sst2'\?\)"):
        TASKS["sst-2"]

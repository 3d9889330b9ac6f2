import math
import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef, recall_score

from aebert.errors import ConfigError
from aebert.tasks.metrics import METRICS, evaluate_outputs
from aebert.tasks.task import Row, TaskSpec

NER = TaskSpec(
    name="ner",
    kind="ner",
    columns=("tokens",),
    label_column="tags",
    labels=("LOC", "PER"),
    metric="seqeval",
    headline="f1",
)  # O B-LOC I-LOC B-PER I-PER


def spec(metric: str, num_labels: int = 2) -> TaskSpec:
    kind = METRICS[metric].kinds[0]
    labels = tuple("abcdefg"[:num_labels]) if kind == "classification" else ()
    return TaskSpec(
        name="t",
        kind=kind,
        columns=("text",),
        label_column="label",
        labels=labels,
        metric=metric,
        headline=METRICS[metric].headline,
    )


def scored(
    metric: str, predictions: Sequence[float], references: Sequence[float], num_labels: int = 2
) -> dict[str, float]:
    task = spec(metric, num_labels)
    rows = [Row(("x",), label) for label in references]
    if task.kind == "regression":
        logits = [np.array([value]) for value in predictions]
    else:
        logits = [np.eye(num_labels)[int(value)] * 3 - 1 for value in predictions]
    return evaluate_outputs(task, rows, [{}] * len(rows), logits)


def test_accuracy() -> None:
    assert scored("accuracy", [0, 2, 1, 1], [0, 1, 1, 1], num_labels=3) == {"accuracy": 0.75}


def test_accuracy_and_f1_of_class_1() -> None:
    # true positives 2, false positives 1, false negatives 2: F1 = 4 / (4 + 1 + 2)
    result = scored("accuracy_f1", [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0])
    assert result == pytest.approx({"accuracy": 0.5, "f1": 4 / 7})
    assert scored("accuracy_f1", [0, 0], [0, 0]) == {"accuracy": 1.0, "f1": 0.0}


def test_matthews() -> None:
    # true and false positives, false and true negatives 2 1 2 1: 2 * 1 - 1 * 2 = 0
    # 2 1 1 1: (2 * 1 - 1 * 1) / sqrt(3 * 3 * 2 * 2)
    assert scored("matthews", [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 1, 0]) == {"matthews": pytest.approx(0.0)}
    assert scored("matthews", [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == {"matthews": pytest.approx(1 / 6)}


@pytest.mark.parametrize(
    ("predictions", "references"), [([1, 1, 1], [0, 1, 1]), ([0, 1, 1], [1, 1, 1]), ([0, 0], [0, 0])]
)
def test_matthews_of_one_class_is_0(predictions: list[int], references: list[int]) -> None:
    assert scored("matthews", predictions, references) == {"matthews": 0.0}


@given(
    st.integers(2, 4).flatmap(lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1))
)
def test_counted_metrics_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predictions, references = zip(*pairs, strict=True)
    found = scored("matthews", predictions, references, num_labels=4)["matthews"]
    if len({*predictions, *references}) > 1:  # else scikit-learn warns
        assert found == pytest.approx(matthews_corrcoef(references, predictions), abs=1e-12)
    binary = ([int(value > 0) for value in predictions], [int(value > 0) for value in references])
    expected = f1_score(binary[1], binary[0], labels=[0, 1], pos_label=1, zero_division=0)
    assert scored("accuracy_f1", binary[0], binary[1])["f1"] == pytest.approx(expected)


def test_f1_and_recall_over_classes() -> None:
    # class 0: 2 of 3 found, none too many, F1 4/5; class 1: 1 of 1 found, 2 too many, 2/4; class 2: never, 0
    predictions, references = [0, 0, 1, 1, 1], [0, 0, 0, 1, 2]
    expected = {
        "f1_macro": (4 / 5 + 1 / 2 + 0) / 3,
        "f1_micro": 3 / 5,
        "f1_weighted": (3 * 4 / 5 + 1 / 2) / 5,
        "balanced_accuracy": (2 / 3 + 1 + 0) / 3,
    }
    for metric, value in expected.items():
        # a class that is neither true nor predicted has no part in it
        assert scored(metric, predictions, references, num_labels=5) == pytest.approx(
            {metric: value, "accuracy": 3 / 5}
        )


@given(
    st.integers(2, 4).flatmap(lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1))
)
def test_metrics_over_classes_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predictions, references = zip(*pairs, strict=True)
    for average in ("macro", "micro", "weighted"):
        found = scored(f"f1_{average}", predictions, references, num_labels=4)[f"f1_{average}"]
        assert found == pytest.approx(f1_score(references, predictions, average=average, zero_division=0))
    found = scored("balanced_accuracy", predictions, references, num_labels=4)["balanced_accuracy"]
    assert found == pytest.approx(
        recall_score(references, predictions, average=None, labels=sorted({*references})).mean()
    )


def test_pearson_and_spearman() -> None:
    # deviations (-2, -1, 0, 3) and (-1, 0, -1, 2): 8 / sqrt(14 * 6)
    # ranks (1, 2, 3, 4) and (1.5, 3, 1.5, 4): 3 / sqrt(5 * 4.5)
    result = scored("pearson_spearman", [0, 1, 2, 5], [1, 2, 1, 4])
    assert result == pytest.approx({"pearson": 8 / math.sqrt(84), "spearman": 3 / math.sqrt(22.5)})


@pytest.mark.parametrize(
    "predictions", [[2.0, 2.0, 2.0], [0.1, math.nan, 0.2], [0.1, math.inf, 0.2], [1e8, 1e8 + 1e-5, 1e8]]
)
def test_correlation_of_constant_or_broken_predictions_is_0(predictions: list[float]) -> None:
    assert scored("pearson_spearman", predictions, [1, 2, 3]) == {"pearson": 0.0, "spearman": 0.0}


def ner(predicted: list[list[int]], tags: list[tuple[int, ...]], labels: list[list[int]]) -> dict[str, float]:
    rows = [Row(tuple("w" * len(tag_ids)), tag_ids) for tag_ids in tags]
    return evaluate_outputs(NER, rows, [{"labels": ids} for ids in labels], [np.eye(5)[ids] for ids in predicted])


def test_entities_are_scored_whole_at_first_sub_words() -> None:
    # words: B-LOC I-LOC O B-PER; the second has two sub-words, the second of which predicts O and is not read
    result = ner([[0, 1, 2, 0, 0, 1, 0]], [(1, 2, 0, 3)], [[-100, 1, 2, -100, 0, 3, -100]])
    assert result == {"precision": 0.5, "recall": 0.5, "f1": 0.5}


def test_half_an_entity_is_none() -> None:
    assert ner([[1, 0, 0]], [(1, 2, 0)], [[1, 2, 0]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_words_cut_off_count_as_o() -> None:
    # of three one-word entities, the last two words were cut off: precision 1, recall 1/3
    result = ner([[0, 1, 0]], [(1, 3, 3)], [[-100, 1, -100]])
    assert result == pytest.approx({"precision": 1.0, "recall": 1 / 3, "f1": 0.5})


def test_padding_of_the_logits_is_not_read() -> None:
    assert ner([[0, 1, 0, 1, 1]], [(1,)], [[-100, 1, -100]])["f1"] == 1.0


def test_a_stray_i_starts_an_entity_as_in_conlleval() -> None:
    assert ner([[0, 2]], [(0, 1)], [[0, 1]])["f1"] == 1.0


def test_no_entity_anywhere_is_0_without_a_warning() -> None:
    assert ner([[0, 0]], [(0, 0)], [[0, 0]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


words = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@given(st.lists(words, min_size=1, max_size=4))
def test_right_predictions_have_f1_1_if_there_is_an_entity(tags: list[list[int]]) -> None:
    result = ner(tags, [tuple(ids) for ids in tags], tags)
    assert result["f1"] == float(any(any(ids) for ids in tags))


def test_metrics_leave_no_files_and_no_random_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002 - the state that must stay as it is
    for metric in METRICS:
        if metric not in ("seqeval", "agreement"):
            scored(metric, [0, 1], [0, 1])
    ner([[1]], [(1,)], [[1]])
    assert METRICS["agreement"]().compute(predictions=[0.5, 1.0], references=[1.0, 1.0]) == {"agreement": 0.75}
    assert list(tmp_path.iterdir()) == []
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


def test_thousands_of_scores_are_cheap() -> None:
    start = time.perf_counter()
    for _ in range(20):
        scored("accuracy", [0, 1] * 500, [0, 1] * 500)
    assert (time.perf_counter() - start) / 20 < 0.1  # seconds; measured 0.006 on one core


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown metric 'f1'.*known: accuracy, accuracy_f1, agreement, balanced_accuracy, f1_macro, f1_mi",
    ):
        METRICS["f1"]

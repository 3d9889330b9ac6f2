from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import evaluate
import numpy as np
import pytest

from aebert.config import DataConfig, TaskConfig
from aebert.errors import ConfigError
from aebert.tasks.load import load_task
from aebert.tasks.metrics import evaluate_outputs, metric_for
from aebert.tasks.resampling import headline_of, row_marks
from aebert.tasks.task import Row, TaskSpec

Write = Callable[[str, str | bytes], Path]

SCRIPT = """
import datasets
import evaluate
from sklearn.metrics import cohen_kappa_score, mean_absolute_error


class Own(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int32"), "references": datasets.Value("int32")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {"kappa": RETURNS}
"""
KAPPA = "cohen_kappa_score(references, predictions)"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where evaluate copies scripts to; one for all tests, since a package is imported once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def script(write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`script(returns, name)`: write a metric that returns a value, away from the caches of this machine."""
    init = evaluate.loading.init_dynamic_modules
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(cache / "metrics"))
    monkeypatch.setattr(evaluate.loading, "init_dynamic_modules", lambda: init("modules_of_tests", cache))
    monkeypatch.setattr(evaluate.loading, "HubEvaluationModuleFactory", lambda *_, **__: pytest.fail("no hub"))

    def make(returns: str = KAPPA, name: str = "kappa/kappa.py", text: str = SCRIPT) -> str:
        metric_for.cache_clear()
        path = write(name, text.replace("RETURNS", returns))
        return f"evaluate:{path.parent if path.stem == path.parent.name else path}"

    return make


def spec(name: str) -> TaskSpec:
    return TaskSpec(
        name="t",
        kind="classification",
        columns=("text",),
        label_column="label",
        labels=("a", "b", "c"),
        metric=name,
        headline=metric_for("classification", name).headline,
    )


def test_a_script_ranks_models(script: Callable[..., str]) -> None:
    task = spec(script())
    assert task.headline == "kappa"
    references, predictions = [0, 1, 2, 2], [0, 1, 2, 1]
    rows = [Row(("x",), label) for label in references]
    logits = [np.eye(3)[label] for label in predictions]
    # agreement 3/4; by chance (1 + 1 * 2 + 2) / 16 = 5/16: (12 - 5) / (16 - 5)
    assert evaluate_outputs(task, rows, [{}] * 4, logits) == {"kappa": pytest.approx(7 / 11)}
    marks = row_marks(task, rows, [{}] * 4, logits)
    assert headline_of(task, marks.astype(np.float32)) == pytest.approx(7 / 11)


def test_what_is_undefined_is_zero(script: Callable[..., str]) -> None:
    task = spec(script("float('nan') if len(set(references)) < 2 else " + KAPPA))
    assert evaluate_outputs(task, [Row(("x",), 1)], [{}], [np.eye(3)[1]]) == {"kappa": 0.0}


def test_a_score_of_numbers(script: Callable[..., str]) -> None:
    metric = metric_for("regression", script("-mean_absolute_error(references, predictions)"))
    assert metric.compute(predictions=[1.0, 2.0], references=[1.5, 2.5]) == {"kappa": -0.5}


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (
            "mean_absolute_error(references, predictions)",
            r"higher for better .* its kappa is 0 for right ones and 1 for wr",
        ),
        ("100 * " + KAPPA, r"must be at most 1 and higher for better predictions, but its kappa is 100 for right ones"),
        ("0.5", r"but its kappa is 0\.5 for right ones and 0\.5 for wrong ones; return another value"),
        ("float('nan')", r"but its kappa is nan"),
        ("1 / 0", r"own\.py can't be computed: division by zero; correct the script"),
        ("'high'", r"own\.py must return one number, or one called 'own', got no number"),
        ("1, 'other': 2", r"own\.py must return one number, or one called 'own', got kappa, other"),
    ],
)
def test_a_script_that_can_rank_no_models_is_refused(script: Callable[..., str], returns: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        metric_for("classification", script(returns, "own.py"))
    assert "\n" not in str(raised.value)


def test_a_script_that_is_none_is_refused(script: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.py can't be computed: .*; correct the script"):
        metric_for("classification", script("", "x.py", "import datasets\n1 +\n"))
    for path in ("accuracy", str(tmp_path), str(tmp_path / "no.py")):
        with pytest.raises(
            ConfigError, match=r"task\.metric evaluate:PATH must name a script .*; metrics by name are re"
        ):
            metric_for("classification", f"evaluate:{path}")
    with pytest.raises(ConfigError, match=r"task\.metric must be one for ner \(seqeval\), got 'evaluate:"):
        metric_for("ner", script())


def test_another_script_is_another_task(script: Callable[..., str], write: Write, tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write(f"{split}.csv", "text,label\n" + "".join(f"{split} {i},{i % 2}\n" for i in range(40)))

    def digests(name: str | None) -> list[str]:
        config = TaskConfig(name="t", kind="classification", text=("text",), label="label", metric=name)
        data = DataConfig(files={"train": tmp_path / "train.csv", "dev": tmp_path / "dev.csv"})
        return list(load_task(config, data, None, 0).digests.values())

    first, again, other, none = digests(script()), digests(script()), digests(script(KAPPA + " / 2")), digests(None)
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))
    assert all(one != two for one, two in zip(first, none, strict=True))
    assert metric_for("classification", "accuracy").script_hash == ""

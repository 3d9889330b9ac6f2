from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from aebert.config import RunConfig
from aebert.deployment.cpu import Cpu
from aebert.errors import ConfigError, StudyError
from aebert.models.int8 import Int8Weights
from aebert.pruning.architecture import Architecture
from aebert.run import scored_form as module
from aebert.run.scored_form import scored_form
from aebert.run.setup import known_settings
from aebert.sections import check

from .conftest import MakePipeline

VNNI, AVX2 = Cpu("x86_64", ("avx512f", "avx512_vnni")), Cpu("x86_64", ("avx2",))


def form_of(**sections: Any) -> Int8Weights | None:
    search = {"score_in": "int8", **sections.pop("search", {})}
    return scored_form(check(RunConfig, {"name": "toy", "search": search, **sections}, "test"))


def test_float32_by_default() -> None:
    assert scored_form(RunConfig(name="toy")) is None


@pytest.mark.parametrize(("cpu", "bits"), [(VNNI, 8), (AVX2, 7)])
def test_weights_are_those_of_a_file_made_here(cpu: Cpu, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "this_cpu", lambda: cpu)
    monkeypatch.setattr(module, "exact_engine", lambda bits: "x86")
    assert form_of() == Int8Weights(True, bits)  # type: ignore[arg-type]
    for deploy in ({"per_channel": False}, {"variants": "dynamic-int8-per-matrix"}):
        assert form_of(deploy=deploy) == Int8Weights(False, bits)  # type: ignore[arg-type]
    several = ["dynamic-int8-per-matrix", "dynamic-int8"]
    assert form_of(deploy={"variants": several}) == Int8Weights(True, bits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"search": {"device": "cuda"}}, r"int8 needs search\.device cpu, got 'cuda'; set one of the two differently$"),
        (
            {"search": {"precision": "float16"}},
            r"int8 needs search\.precision float32, which int8 products replace, got 'float16'; leave one of the two",
        ),
        (
            {"deploy": {"int8": False}},
            r"int8 needs deploy\.int8 true, got false: the file that ships is float32; leave search\.score_in out, or",
        ),
    ],
)
def test_what_contradicts_it_is_refused_in_one_line(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^search\.score_in: {message}") as caught:
        form_of(**sections)
    assert "\n" not in str(caught.value)


def test_a_torch_without_an_exact_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "this_cpu", lambda: VNNI)
    monkeypatch.setattr(module, "exact_engine", lambda bits: None)
    message = r"needs a torch with an int8 engine .*, got none for weights of 8 bits; set search\.score_in to float32$"
    with pytest.raises(ConfigError, match=message):
        form_of()


def test_a_run_refuses_it_before_any_work(pipeline: MakePipeline) -> None:
    search = {"trials": 8, "space": "fine-grid", "score_in": "int8"}
    with pytest.raises(ConfigError, match=r"^search\.score_in: int8 needs deploy\.int8 true"):
        pipeline(search=search, deploy={"fuse": "never", "int8": False})


def test_trials_and_the_order_of_rows_are_of_the_int8_form(pipeline: MakePipeline) -> None:
    search = {"trials": 4, "space": "fine-grid", "budget": {"sparsity": 0.5}, "first": ["uniform"], "rungs": "none"}
    exact, coarse = pipeline(name="exact", search=search), pipeline(search={**search, "score_in": "int8"})
    assert coarse.run.int8 is not None
    dense = Architecture.dense(coarse.dense.shape)
    found, expected = coarse.trials, exact.trials
    assert found[0].origin == "dense"
    assert found[0].loss == coarse.scorer(dense).loss != expected[0].loss == exact.scorer(dense).loss
    assert found[1].architecture == expected[1].architecture
    assert found[1].loss != expected[1].loss
    records = [json.loads((toy.run.folder / "stages" / "doubt.json").read_text()) for toy in (exact, coarse)]
    doubts = [np.array(record["result"]["doubt"]) for record in records]
    assert 0 < np.abs(doubts[0] - doubts[1]).max() < 0.2
    assert [note for note in coarse.setup.info.notes if "search.score_in" in note]
    assert not [note for note in exact.setup.info.notes if "search.score_in" in note]


def test_only_studies_in_int8_state_it(pipeline: MakePipeline) -> None:
    """Studies of older versions state nothing, and go on."""
    search = {"trials": 3, "space": "fine-grid", "budget": {"sparsity": 0.5}, "first": ["uniform"], "rungs": "none"}
    exact, coarse = pipeline(search=search), pipeline(search={**search, "score_in": "int8"})
    assert not [key for key in known_settings(exact.run) if "score_in" in key]
    stated = {key: value for key, value in known_settings(coarse.run).items() if "score_in" in key}
    assert coarse.run.int8 is not None
    assert stated == {"search.score_in": "int8", "search.score_in_weights": coarse.run.int8.describe()}
    assert known_settings(coarse.run) == {**known_settings(exact.run), **stated}
    _ = exact.trials
    with pytest.raises(StudyError, match=r"other settings: search\.score_in was None, now 'int8'"):
        coarse.inspect()
    assert len(pipeline(search={**search, "trials": 4}).trials) == 4

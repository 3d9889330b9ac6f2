from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aebert.config import DeployConfig, LiteRTConfig, RunConfig
from aebert.deployment import litert_packages
from aebert.errors import ConfigError, ExportError
from aebert.run.flatbuffers import FlatBuffers, forms
from aebert.run.run import Run
from aebert.sections import check


def config(**litert: object) -> LiteRTConfig:
    found = check(DeployConfig, {"litert": litert}, "x.yaml").litert
    assert found is not None
    return found


def test_off_unless_asked_for() -> None:
    assert check(DeployConfig, {}, "x.yaml").litert is None
    off: Any = FlatBuffers(Run(RunConfig(name="off")), dense=None, models=[], base=Path)  # type: ignore[arg-type]
    assert (off.files, off.rows()) == ({}, [])


def test_names_and_titles_of_the_files() -> None:
    made = forms(config(lengths=[16, 64], int4=True), "trial-3")
    assert [form.name for form in made] == [
        "trial-3.16",
        "trial-3.16.int8",
        "trial-3.16.int4",
        "trial-3.64",
        "trial-3.64.int8",
        "trial-3.64.int4",
    ]
    assert [form.name for form in forms(config(lengths=8, int8=False), "dense")] == ["dense.8"]
    assert made[1].title == "LiteRT int8, 16 tokens"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lengths": []}, r"litert\.lengths: lengths must be one or several different ones, got \[\]"),
        ({"lengths": [32, 32]}, r"lengths must be one or several different ones, got \[32, 32\]"),
        ({"lengths": [0]}, r"litert\.lengths\.0: input should be greater than or equal to 1, got 0"),
        (
            {"length": 32},
            r"unknown key 'deploy\.litert\.length' \(did you mean 'lengths'\?\)|unknown key 'litert.length'",
        ),
    ],
)
def test_what_is_wrong_with_a_config_is_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config(**values)
    assert "\n" not in str(caught.value)


def test_a_missing_package_shows_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert_packages, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"pip install 'aebert\[litert\]'"):
        Run(RunConfig(name="on", deploy=DeployConfig(litert=LiteRTConfig())))

"""The scripts of experiments/faults with small numbers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import optuna
import pytest

FAULTS = Path(__file__).parents[2] / "experiments" / "faults"
pytestmark = pytest.mark.slow


@pytest.fixture(params=["kills", "single"])
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(FAULTS)
    before = optuna.logging.get_verbosity()
    yield importlib.import_module(request.param)
    optuna.logging.set_verbosity(before)
    for name in ("study", request.param):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("script", ["kills"], indirect=True)
def test_killed_searches_end_with_the_trials_of_whole_ones(script: ModuleType) -> None:
    rows = script.measure(["sqlite"], [2], kills=5, seed=0)
    assert [row["of driver"] + row["of worker"] for row in rows] == [5]
    assert [(row["changed"], row["double"], row["stuck"]) for row in rows] == [(0, 0, 0)]


@pytest.mark.parametrize("script", ["single"], indirect=True)
def test_faults_change_no_trial(script: ModuleType) -> None:
    rows = script.measure(["hang", "nan", "two drivers"])
    assert all(row["same trials"] for row in rows)
    assert all(row["ended"] == "0" for row in rows)
    assert rows[0]["not reached"] == []
    assert "in use by process P on" in rows[2]["second ended"]

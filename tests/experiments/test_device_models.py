from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("device_models")


def test_the_committed_result_is_what_the_models_say_now(models: Any, tmp_path: Path) -> None:
    models.main(["--results", str(tmp_path)])
    now, committed = (
        json.loads((folder / "benchmarks" / "device_models.json").read_text(encoding="utf-8"))
        for folder in (tmp_path, FOLDER.parents[1] / "results")
    )
    assert len(now["errors"]) == len(committed["errors"]) == 11
    for mine, theirs in zip(now["errors"], committed["errors"], strict=True):
        assert mine["published"] == theirs["published"]
        assert mine["estimated_ms"] == pytest.approx(theirs["estimated_ms"])
    assert [one["estimated_ms"] for one in now["bert_base"]] == [
        pytest.approx(one["estimated_ms"]) for one in committed["bert_base"]
    ]


def test_the_tables_say_that_they_are_estimates(
    models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.main(["--results", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "estimated ms" in shown
    assert "estimated ms of" in shown
    # one neuron more fills another tile: nothing on a processor, a little on the array
    sized = {
        (one["device"], one["precision"], one["length"]): one["estimated_ms"] for one in models.sizes(models_devices())
    }
    tiled, pi = sized["alveo-u200-tiled", "int8", 128], sized["raspberry-pi-5", "int8", 128]
    assert tiled["half, one neuron more"] / tiled["half"] > 1.02
    assert pi["half, one neuron more"] / pi["half"] < 1.001


def models_devices() -> list[Any]:
    from aebert.latency.devices import load_device

    return [load_device(name) for name in ("alveo-u200-tiled", "raspberry-pi-5")]

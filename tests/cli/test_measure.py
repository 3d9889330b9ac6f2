from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from transformers import PreTrainedModel

from aebert.compare.comparison import Settings
from aebert.compare.remote import Host
from aebert.errors import ConfigError

from .conftest import Aebert, Done

Profile = Callable[..., Done]


@pytest.fixture
def profile(aebert: Aebert) -> Profile:
    """`aebert profile` with these arguments."""
    return partial(aebert, "profile")


def refused(done: Done) -> str:
    assert done.code == 2, done
    assert done.out == ""
    return done.err.strip().splitlines()[-1]


def test_an_onnx_file_is_measured_and_written(profile: Profile, classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "found.json"
    done = profile(classifier, "--lengths", "8,16", "--batches", 1, "--runs", 6, "--warmup", 0, "--out", out)
    assert done.code == 0, done.err
    assert "Files" in done.out
    assert "Times of one request" in done.out
    stored = json.loads(out.read_text())
    assert [cell["length"] for cell in stored["cells"]] == [8, 16]
    assert stored["settings"]["runs"] == 6


def test_what_a_user_can_get_wrong(profile: Profile, classifier: Path, tmp_path: Path) -> None:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    assert "gone.onnx does not exist: a target is" in refused(profile("gone.onnx"))
    out = tmp_path / "a.json"
    assert refused(profile(classifier, "--host", "me@127.0.0.1", "--port", port, "--out", out, "--timeout", 5)) == (
        "aebert: error: me@127.0.0.1: nothing listens on that port: is sshd running there, is --port right?"
    )
    assert not out.exists()
    assert "--out must end in .json or .csv" in refused(profile(classifier, "--out", tmp_path / "a.txt"))
    assert "--set needs a run's config among the targets" in refused(profile(classifier, "--set", "a=b"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Host | None]]:
    """What the command would measure, and where; nothing is."""
    calls: list[tuple[Settings, Host | None]] = []

    def compare(targets: object, settings: Settings, *, host: Host | None, progress: object) -> None:
        calls.append((settings, host))
        raise ConfigError("seen")

    monkeypatch.setattr("aebert.compare.comparison.compare", compare)
    return calls


def test_a_device_file_says_where_and_how(
    profile: Profile, asked: list[tuple[Settings, Host | None]], classifier: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").touch()
    board = tmp_path / "board.yaml"
    board.write_text(
        f"{{host: pi@board, port: 2222, identity: {tmp_path}/key, python: venv/bin/python, threads: 4}}",
        encoding="utf-8",
    )
    assert "seen" in refused(profile(classifier, "--device", board))
    assert "seen" in refused(profile(classifier, "--device", board, "--port", 22, "--threads", "1,2", "--timeout", 5))
    there = Host(address="pi@board", port=2222, identity=tmp_path / "key", python="venv/bin/python", timeout=30.0)
    assert asked == [(Settings(threads=(4,)), there), (Settings(threads=(1, 2)), replace(there, port=22, timeout=5.0))]


def test_a_device_file_of_this_machine(
    profile: Profile, asked: list[tuple[Settings, Host | None]], classifier: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("{this: true, threads: 2}", encoding="utf-8")
    assert "seen" in refused(profile(classifier, "--device", tmp_path / "mine.yaml"))
    assert asked == [(Settings(threads=(2,)), None)]


def test_an_estimated_device_measures_nothing(profile: Profile, board: Callable[..., Path], classifier: Path) -> None:
    line = refused(profile(classifier, "--device", board()))
    assert (
        "device 'toy-board' must name a host to measure on, it is an estimate (roofline); `aebert pareto STUDY " in line
    )
    assert "give --device or --host, got both" in refused(profile(classifier, "--device", "x.yaml", "--host", "pi"))


@pytest.mark.slow
def test_a_checkpoint_against_its_export(
    profile: Profile, tiny_model: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    from aebert.deployment.onnx_export import export_onnx

    model = tiny_model("roberta")
    model.save_pretrained(tmp_path / "checkpoint")
    export_onnx(model, ["input_ids", "attention_mask"], tmp_path / "model.onnx")
    out = tmp_path / "found.json"
    done = profile(
        tmp_path / "checkpoint", tmp_path / "model.onnx", "--lengths", 8, "--threads", "1,2", "--runs", 6, "--out", out
    )
    assert done.code == 0, done.err
    stored = json.loads(out.read_text())
    assert [target["form"] for target in stored["targets"]] == ["torch eager", "ONNX"]
    assert [cell["target"] for cell in stored["cells"]] == ["checkpoint", "model.onnx"] * 2
    # torch weighs on the checkpoint alone
    assert stored["targets"][0]["baseline_memory_bytes"] > 2 * stored["targets"][1]["baseline_memory_bytes"]


@pytest.mark.slow
def test_a_damaged_checkpoint_and_a_length_that_is_too_long(
    profile: Profile, tiny_model: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    tiny_model("bert").save_pretrained(tmp_path / "checkpoint")
    line = refused(profile(tmp_path / "checkpoint", "--lengths", 65, "--runs", 6))
    assert "checkpoint can't be loaded: checkpoint can't run on 1 × 65 tokens: " in line
    weights = tmp_path / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "checkpoint can't be loaded: weights of " in refused(profile(tmp_path / "checkpoint", "--runs", 6))

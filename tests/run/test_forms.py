"""Which forms of a file are tried, and which is kept. Exporter, quantizers, clock and scores are played."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, PreTrainedModel, PreTrainedTokenizerFast, RobertaConfig

from aebert.config import RunConfig
from aebert.deployment import exclusion
from aebert.deployment.exported import Fused, Fusion
from aebert.deployment.quantize import VARIANTS
from aebert.deployment.sensitivity import Suspect
from aebert.errors import ConfigError, OutputError
from aebert.models.evaluation import evaluate, prepare
from aebert.profiling.sampling import Samples
from aebert.pruning.architecture import Architecture
from aebert.run import forms
from aebert.run.export import Export
from aebert.run.run import Run
from aebert.run.shipped import ShippedModel
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.sections import check
from aebert.tasks.task import Row, Task, TaskSpec


@dataclass
class Toy:
    """What export needs of a run whose models are made."""

    run: Run
    dense: Any
    models: list[ShippedModel]

    def export(self) -> Export:
        """The files, with nothing of an export before kept in memory."""
        return Export(self.run, self.dense, self.models)

    def exported(self, name: str = "dense") -> dict[str, Any]:
        """How a model was exported, in plain values."""
        return self.export().forms[name].to_dict()

    @property
    def folder(self) -> Path:
        return self.run.folder


def toy_run(folder: Path, spec: TaskSpec, rows: Sequence[Row], model: Any, tokenizer: Any, **config: Any) -> Toy:
    """A run with these rows for training and selection, and no finalists."""
    whole = check(RunConfig, {"name": "toy", "results": str(folder), "data": {"max_length": 16}, **config}, "test")
    run = Run(whole)
    digests: Any = dict.fromkeys(("train", "select"), "rows")
    run.task = Task(spec, {"train": rows, "select": rows}, digests=digests)
    dense = SimpleNamespace(model=model, tokenizer=tokenizer, digest="dense weights")
    return Toy(run, dense, [shipped_model("dense", model, None)])


def shipped_model(name: str, model: Any, budget: float | None) -> ShippedModel:
    return ShippedModel(
        name=name,
        digest=f"{name} weights",
        architecture=Architecture((4, 4), (64, 64)),
        budget=budget,
        load=lambda: model,
    )


@dataclass
class Stagehand:
    """Files hold what made them: `plain dense`, `apart dense > dynamic-int8 without n2`.

    milliseconds: by the file's name in a timing. scores: by the variant and the number of layers left out; 0.9 for all
    others, the share of rows that are right. sizes: in bytes of a quantized file, by variant; 100 for others, and 40
    for each layer left out.
    """

    milliseconds: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[tuple[str, int], float] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def export(self, model: Any, names: Any, path: Path, opset: int) -> None:
        self.done.append(f"export {model}")
        path.write_text(f"plain {model}")

    def fuse(self, model: Any, names: Any, path: Path, **_: Any) -> Any:
        path.write_text(f"apart {model}")
        none = Fused(0, 0)
        return Fusion(attentions=none, gelus=none, norms=none, embeddings=none, notes=())

    def add_embeddings(self, apart: Path, whole: Path) -> str | None:
        whole.write_text(apart.read_text().replace("apart", "fused"))
        return None

    def load(self, path: Path) -> Any:
        layers = {f"n{index}": f"layer.{index}" for index in range(16)}
        return SimpleNamespace(text=path.read_text(), layers=layers, weight_bytes=lambda node: 50)

    def quantize(self, source: Any, target: Path, variant: Any, setting: Any) -> Path:
        name = next(one for one in VARIANTS if VARIANTS[one] == variant)
        left = f" without {' '.join(sorted(setting.exclude))}" if setting.exclude else ""
        text = f"{source.text} > {name}{left}"
        self.done.append(text)
        target.write_text(text.ljust(self.sizes.get(name, 100) + 40 * len(setting.exclude)))
        return target

    rows: int = 4000

    def outcomes(self, path: Path) -> Outcomes:
        text = path.read_text().strip()
        self.done.append(f"score {text}")
        name, _, left = text.partition(" > ")[2].partition(" without ")
        score = self.scores.get((name, len(left.split())), 0.9)
        right = np.arange(self.rows) < score * self.rows if not np.isnan(score) else np.full(self.rows, np.nan)
        return Outcomes(np.zeros(self.rows), np.asarray(right, dtype=np.float32)[:, None])

    def interleave(self, models: Mapping[str, Any], *_: Any, **__: Any) -> Samples:
        self.done.append(f"time {' '.join(models)}")
        return Samples(
            schedule=(0, 1),
            milliseconds={name: (self.milliseconds.get(name, 10.0),) * 2 for name in models},
            rejected=0,
            noisy=0,
        )


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stagehand:
    hand = Stagehand()
    parity = SimpleNamespace(max_abs_difference=0.0, to_dict=lambda: {"max_abs_difference": 0.0})
    played = {
        "export_onnx": hand.export,
        "fuse_onnx": hand.fuse,
        "add_embeddings": hand.add_embeddings,
        "check_parity": lambda *_: parity,
        "largest_difference": lambda *_: 0.0,
        "quantize": hand.quantize,
        "interleave": hand.interleave,
        "suspects": lambda *_: [
            Suspect(node="n2", layer="layer.2", error=9.0),
            Suspect(node="n0", layer="layer.0", error=3.0),
            Suspect(node="n5", layer="x", error=1.0),
        ],
        "OnnxModel": lambda path, threads: SimpleNamespace(logits=None),
        "Source": SimpleNamespace(load=hand.load),
        "Judge": ShareOfRight,
    }
    for name, value in played.items():
        for module in (forms, exclusion):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(forms.Forms, "outcomes", lambda _, path: hand.outcomes(path))
    return hand


class ShareOfRight(Judge):
    """Scores marks that are 1 for rows that are right."""

    def score(self, outcomes: Outcomes) -> float:
        return float(outcomes.marks.mean(dtype=np.float64))


class Speaking(str):
    """A model that is its name."""

    config = BertConfig(max_position_embeddings=64)


Make = Callable[..., Any]


@pytest.fixture
def toy(tmp_path: Path, tiny_task: Any, tiny_tokenizer: PreTrainedTokenizerFast) -> Make:
    def make(*, search: Mapping[str, Any] | None = None, **deploy: Any) -> Any:
        spec, rows = tiny_task("classification", 12)
        config = {"deploy": deploy, "search": search or {}}
        return toy_run(tmp_path, spec, rows, Speaking("dense"), tiny_tokenizer, **config)

    return make


def shipped(run: Toy, name: str = "dense") -> dict[str, str]:
    """What the files hold, by their ending."""
    folder = run.folder / "models"
    return {
        path.name.removeprefix(name): path.read_text().strip() for path in sorted(folder.iterdir()) if path.is_file()
    }


@pytest.mark.parametrize(
    ("fused_ms", "fused_int8_ms", "float32", "int8"),
    [(8.0, 8.0, "fused", "apart"), (12.0, 8.0, "plain", "apart"), (8.0, 12.0, "fused", "plain")],
)
def test_auto_keeps_the_faster_graph_for_each_file(
    fused_ms: float, fused_int8_ms: float, float32: str, int8: str, toy: Make, stage: Stagehand
) -> None:
    stage.milliseconds = {"fused": fused_ms, "apart-int8": fused_int8_ms}
    run = toy()
    kept = run.exported()["kept"]
    assert shipped(run) == {".onnx": f"{float32} dense", ".int8.onnx": f"{int8} dense > dynamic-int8"}
    assert kept["float32"] == float32
    assert kept["int8_source"] == ("fused" if int8 == "apart" else "plain")
    assert kept["fused_times_faster"] == {"float32": 10 / fused_ms, "int8_source": 10 / fused_int8_ms}
    assert not (run.folder / "models" / "work" / "dense").exists()


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (BertConfig(max_position_embeddings=16), 16),
        (BertConfig(max_position_embeddings=64), 16),  # the run's max_length
        (RobertaConfig(max_position_embeddings=16, pad_token_id=1), 14),
    ],
)
def test_parity_is_checked_up_to_the_model_s_last_position(
    config: Any, longest: int, toy: Make, stage: Stagehand, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def check_parity(model: Any, path: Path, batches: Sequence[Mapping[str, torch.Tensor]]) -> Any:
        seen.append(max(batch["input_ids"].shape[1] for batch in batches))
        return SimpleNamespace(max_abs_difference=0.0, to_dict=dict)

    monkeypatch.setattr(forms, "check_parity", check_parity)
    monkeypatch.setattr(Speaking, "config", config)
    _ = toy(fuse="never").export().forms
    assert seen == [longest]


@pytest.mark.parametrize(("fuse", "float32", "int8"), [("never", "plain", "plain"), ("always", "fused", "apart")])
def test_never_and_always_time_no_graphs(fuse: str, float32: str, int8: str, toy: Make, stage: Stagehand) -> None:
    stage.milliseconds = {"fused": 99.0} if fuse == "always" else {"fused": 1.0}
    run = toy(fuse=fuse)
    one = run.exported()
    assert shipped(run) == {".onnx": f"{float32} dense", ".int8.onnx": f"{int8} dense > dynamic-int8"}
    assert one["kept"] == {"float32": float32, "int8_source": "plain" if fuse == "never" else "fused"}
    assert (one["fusion"] is None) == (fuse == "never")
    assert [line for line in stage.done if line.startswith("time")] == ["time float32 dynamic-int8"]


def test_without_int8_nothing_is_quantized(toy: Make, stage: Stagehand) -> None:
    run = toy(int8=False, variants=["static-int8"])
    export = run.export()
    assert list(export.files) == ["dense"]
    assert export.forms["dense"].quantization is None
    assert export.forms["dense"].kept.float32 == "fused"
    assert shipped(run) == {".onnx": "fused dense"}
    assert stage.done == ["export dense", "time plain fused"]


def test_the_fastest_variant_within_the_loss_ships(toy: Make, stage: Stagehand) -> None:
    stage.milliseconds = {"float32": 20.0, "static-int8": 4.0, "dynamic-int8": 5.0, "weight-int8": 8.0}
    stage.scores = {("static-int8", 0): 0.88}
    run = toy(fuse="never", variants=["weight-int8", "static-int8", "dynamic-int8"], exclude=False)
    found = run.exported()["quantization"]
    assert found["chosen"] == "dynamic-int8"
    assert shipped(run)[".int8.onnx"] == "plain dense > dynamic-int8"
    rows = {row["variant"]: row for row in found["tried"]}
    assert list(rows) == ["weight-int8", "static-int8", "dynamic-int8"]
    assert rows["static-int8"]["loss"] == pytest.approx(2.0)
    assert rows["static-int8"]["verdict"] == "loses 2.0 points (95 % interval 1.6 to 2.4; limit 1)"
    assert rows["weight-int8"]["verdict"] == "1.60 times the time of dynamic-int8"
    assert (rows["dynamic-int8"]["speedup"], rows["dynamic-int8"]["size_bytes"]) == (4.0, 100)


def test_where_none_keeps_the_loss_the_least_lossy_ships_and_says_so(toy: Make, stage: Stagehand) -> None:
    stage.milliseconds = {"static-int8": 1.0}
    stage.scores = {("static-int8", 0): 0.5, ("dynamic-int8", 0): 0.87, ("weight-int8", 0): float("nan")}
    run = toy(variants=["weight-int8", "static-int8", "dynamic-int8"], exclude=False)
    found = run.exported()["quantization"]
    assert found["chosen"] == "dynamic-int8"
    assert (
        found["tried"][2]["verdict"] == "chosen although it loses 3.0 points (95 % interval 2.6 to 3.4; limit 1): "
        "no tried variant is within the limits"
    )
    assert "interval" not in found["tried"][0]  # a correlation of constant values has none
    assert found["tried"][0]["verdict"] == "loses nan points (limit 1)"


def test_as_few_layers_as_it_takes_stay_float32(toy: Make, stage: Stagehand) -> None:
    stage.scores = {("dynamic-int8", 0): 0.5, ("dynamic-int8", 1): 0.8}
    run = toy(fuse="never")
    (row,) = run.exported()["quantization"]["tried"]
    assert row["excluded"] == ["layer.2 (9)", "layer.0 (3)"]
    assert row["verdict"] == "chosen: the fastest within 1 points"
    assert row["loss"] == 0.0
    assert shipped(run)[".int8.onnx"] == "plain dense > dynamic-int8 without n0 n2"


@pytest.mark.parametrize("without", [0.6, float("nan")])
def test_where_leaving_out_does_not_help_enough_the_best_file_is_written(
    without: float, toy: Make, stage: Stagehand
) -> None:
    stage.scores = {
        ("dynamic-int8", 0): without,
        ("dynamic-int8", 1): 0.85,
        **{("dynamic-int8", count): 0.7 for count in (2, 3)},
    }
    run = toy(fuse="never")
    (row,) = run.exported()["quantization"]["tried"]
    assert row["excluded"] == ["layer.2 (9)"]
    assert row["verdict"] == (
        "chosen although it loses 5.0 points (95 % interval 4.4 to 5.6; limit 1): no tried variant is within the limits"
    )
    assert shipped(run)[".int8.onnx"] == "plain dense > dynamic-int8 without n2"


def test_two_rows_of_124_leave_out_no_layer_and_do_not_make_a_file_too_lossy(toy: Make, stage: Stagehand) -> None:
    stage.rows, stage.scores = 124, {("dynamic-int8", 0): 0.9 - 2 / 124}
    stage.milliseconds = {"weight-int8": 20.0}
    run = toy(fuse="never", variants=["dynamic-int8", "weight-int8"])
    found = run.exported()["quantization"]
    assert found["chosen"] == "dynamic-int8"
    assert (found["tried"][0]["loss"], found["tried"][0]["excluded"]) == (pytest.approx(100 * 2 / 124), [])
    assert "; 124 rows can't tell it from the limit of 1)" in found["tried"][0]["verdict"]
    assert found["tried"][0]["interval"]["rows"] == 124


def test_the_same_loss_on_many_rows_is_proof_and_leaves_out_a_layer(toy: Make, stage: Stagehand) -> None:
    stage.rows, stage.scores = 12400, {("dynamic-int8", 0): 0.9 - 2 / 124}
    (row,) = toy(fuse="never").exported()["quantization"]["tried"]
    assert row["excluded"] == ["layer.2 (9)"]


def test_an_export_from_before_intervals_keeps_its_choice(toy: Make, stage: Stagehand) -> None:
    record = toy().export().forms and toy().folder / "stages/export-dense.json"
    values = json.loads(record.read_text())
    (row,) = values["result"]["quantization"]["tried"]
    del row["interval"]
    record.write_text(json.dumps(values))
    before = len(stage.done)
    quantization = toy().export().forms["dense"].quantization
    assert quantization is not None
    assert quantization.shipped.interval is None
    assert quantization.to_dict() == values["result"]["quantization"]
    assert len(stage.done) == before


def test_the_float32_file_is_scored_once_for_all_variants(toy: Make, stage: Stagehand) -> None:
    _ = toy(fuse="never", variants=["dynamic-int8", "weight-int8", "static-int8"]).export().forms
    assert stage.done.count("score plain dense") == 1


def test_what_a_file_does_is_kept_for_each_select_row(
    tmp_path: Path,
    tiny_model: Callable[..., PreTrainedModel],
    tiny_task: Any,
    tiny_tokenizer: Any,
    export_once: Callable[..., Path],
) -> None:
    spec, rows = tiny_task("classification", 24)
    model = tiny_model("bert", labels=2)
    run = toy_run(tmp_path, spec, rows, model, tiny_tokenizer, deploy={"fuse": "never", "variants": ["weight-int8"]})
    one = forms.Forms(run=run.run, dense=run.dense, model=run.models[0])
    path = export_once(model, tiny_tokenizer.model_input_names, tmp_path / "model.onnx", opset=20)
    found, expected = one.outcomes(path), evaluate(model, prepare(rows, spec, tiny_tokenizer, 16, 4096))
    assert found.losses == pytest.approx(expected.losses, rel=1e-4)
    assert found.marks.tolist() == [
        [logits.argmax(), row.label] for logits, row in zip(expected.logits, rows, strict=True)
    ]
    (row,) = run.exported()["quantization"]["tried"]
    assert row["score"] == Judge(spec).score(found) - row["loss"] / 100
    assert row["interval"]["low"] <= row["loss"] <= row["interval"]["high"]
    assert row["interval"]["rows"] == 24


def test_under_a_latency_budget_no_layer_stays_float32(toy: Make, stage: Stagehand) -> None:
    stage.scores = {("dynamic-int8", 0): 0.5}
    run = toy(fuse="never")
    run.run.config = run.run.config.model_copy(
        update={"search": check(RunConfig, {"name": "toy", "search": {"budget": {"latency_ms": 5}}}, "test").search}
    )
    (row,) = run.exported()["quantization"]["tried"]
    assert (row["excluded"], row["loss"]) == ([], pytest.approx(40.0))


def test_exclude_off_leaves_no_layer_out(toy: Make, stage: Stagehand) -> None:
    stage.scores = {("dynamic-int8", 0): 0.5}
    run = toy(fuse="never", exclude=False)
    (row,) = run.exported()["quantization"]["tried"]
    assert (row["excluded"], row["loss"]) == ([], pytest.approx(40.0))


@pytest.fixture
def sized(toy: Make) -> Make:
    """A run with a finalist whose file may have so many bytes."""

    def make(num_bytes: int, **deploy: Any) -> Any:
        run = toy(search={"budget": {"size_mb": num_bytes / 1e6}}, fuse="never", **deploy)
        run.models.append(shipped_model("trial-7", Speaking("trial-7"), num_bytes / 1e6))
        return run

    return make


def test_a_size_budget_holds_for_finalists_only(sized: Make, stage: Stagehand) -> None:
    stage.milliseconds = {"weight-int8": 1.0}
    stage.sizes = {"weight-int8": 200}
    run = sized(150, variants=["weight-int8", "dynamic-int8"])
    found = {name: one.to_dict() for name, one in run.export().forms.items()}
    assert found["dense"]["quantization"]["chosen"] == "weight-int8"
    assert found["trial-7"]["quantization"]["chosen"] == "dynamic-int8"
    assert "MB (limit" in found["trial-7"]["quantization"]["tried"][0]["verdict"]
    assert (run.folder / "models/trial-7.onnx").read_text() == "plain trial-7"
    assert (run.folder / "models/trial-7.int8.onnx").read_text().strip() == "plain trial-7 > dynamic-int8"


@pytest.mark.parametrize(("num_bytes", "excluded"), [(149, 0), (160, 1), (200, 2)])
def test_layers_stay_float32_only_as_far_as_the_size_budget_goes(
    num_bytes: int, excluded: int, sized: Make, stage: Stagehand
) -> None:
    # one layer left out is not enough, two are; each may take up to 50 bytes more
    stage.scores = {("dynamic-int8", 0): 0.5, ("dynamic-int8", 1): 0.8}
    run = sized(num_bytes)
    (row,) = run.exported("trial-7")["quantization"]["tried"]
    assert len(row["excluded"]) == excluded
    assert row["size_bytes"] == 100 + 40 * excluded <= num_bytes
    assert row["verdict"].startswith("chosen although it loses" if excluded < 2 else "chosen: the fast")


def test_what_was_done_before_a_kill_is_not_done_again(
    toy: Make, stage: Stagehand, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy()
    models = run.folder / "models"
    models.mkdir(parents=True)
    (models / "dense.int8.onnx").write_text("of an older run")

    def killed(source: Path, target: Path) -> None:
        target.write_text("half")
        if target.name == "dense.int8.onnx":
            raise KeyboardInterrupt
        target.write_text(source.read_text())

    with monkeypatch.context() as patch:
        patch.setattr("aebert.run.forms.shutil.copyfile", killed)
        with pytest.raises(KeyboardInterrupt):
            _ = run.export().forms
    assert shipped(run) == {".int8.onnx": "of an older run", ".onnx": "fused dense"}
    assert not (run.folder / "stages/export-dense.json").exists()

    before = len(stage.done)
    first = run.export().forms
    assert len(stage.done) == before
    assert shipped(run) == {".int8.onnx": "apart dense > dynamic-int8", ".onnx": "fused dense"}
    assert not (models / "work" / "dense").exists()
    # all of it is skipped now, and what a kill after the record left is removed
    (models / "work" / "dense").mkdir(parents=True)
    assert run.export().forms == first
    assert len(stage.done) == before
    assert not (models / "work" / "dense").exists()


def test_a_full_disk_is_one_line(toy: Make, stage: Stagehand, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aebert.run.forms.shutil.copyfile", full)
    with pytest.raises(OutputError, match=r"dense\.onnx can't be written: No space left on device"):
        _ = toy().export().forms


def test_a_changed_limit_tries_again_and_a_flatbuffer_does_not(
    toy: Make, stage: Stagehand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aebert.run.run.require_litert", lambda: None)  # the settings count here, not the converter
    _ = toy().export().forms
    before = len(stage.done)
    _ = toy(litert={"lengths": 8}).export().forms
    assert len(stage.done) == before
    stage.scores = {("dynamic-int8", 0): 0.5}
    (row,) = toy(max_loss=50, exclude=True).exported()["quantization"]["tried"]
    assert row["loss"] == pytest.approx(40.0)


def test_an_unknown_variant_is_refused_before_any_work(tmp_path: Path) -> None:
    config = check(
        RunConfig, {"name": "toy", "results": str(tmp_path), "deploy": {"variants": ["dynamic-int9"]}}, "test"
    )
    with pytest.raises(ConfigError, match=r"^unknown quantization variant 'dynamic-int9' \(did you mean 'dynamic-int"):
        Run(config)
    assert list(tmp_path.iterdir()) == []


def test_files_are_timed_on_the_task_s_own_rows_at_their_lengths(
    toy: Make, stage: Stagehand, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[int, ...]]] = []

    def interleave(models: Mapping[str, Any], requests: Sequence[Mapping[str, Any]], *_: Any, **__: Any) -> Samples:
        seen.append([one["input_ids"].shape for one in requests])
        return stage.interleave(models)

    monkeypatch.setattr(forms, "interleave", interleave)
    run = toy()
    _ = run.export().forms
    words = [len(row.text[0].split()) for row in run.run.task.rows["select"]]
    assert [[shape[0] for shape in shapes] for shapes in seen] == [[1] * 12] * 2
    assert [[shape[1] for shape in shapes] for shapes in seen] == [[count + 2 for count in words]] * 2


@pytest.mark.slow
def test_the_layer_with_outliers_stays_float32_and_the_score_is_back(
    tmp_path: Path, tiny_model: Callable[..., PreTrainedModel], tiny_task: Any, tiny_tokenizer: Any
) -> None:
    model = tiny_model("bert", labels=2)
    with torch.no_grad():  # weights of an input that is always 0: nothing in float32, no resolution left in int8
        model.bert.embeddings.LayerNorm.weight[5] = 0
        model.bert.embeddings.LayerNorm.bias[5] = 0
        model.bert.encoder.layer[0].attention.self.value.weight[:, 5] = 3000
    spec, drawn = tiny_task("classification", 64)
    prepared = prepare(drawn, spec, tiny_tokenizer, 16, 4096)
    logits = np.stack(evaluate(model, prepared).logits)
    with torch.no_grad():  # half of the rows are of each class
        model.classifier.bias[1] -= float(np.median(logits[:, 1] - logits[:, 0]))
    labels = np.stack(evaluate(model, prepared).logits).argmax(-1)
    assert labels.sum() == 32
    rows = [Row(text=row.text, label=int(label), source=row.source) for row, label in zip(drawn, labels, strict=True)]

    deploy = {"fuse": "never", "max_loss": 10, "variants": ["dynamic-int8", "static-int8"]}
    losses = {}
    for exclude in (False, True):
        run = toy_run(tmp_path / str(exclude), spec, rows, model, tiny_tokenizer, deploy={**deploy, "exclude": exclude})
        tried = run.exported()["quantization"]["tried"]
        losses[exclude] = [row["loss"] for row in tried]
        told = [[layer.partition(" (")[0] for layer in row["excluded"]] for row in tried]
        assert told == ([["bert.encoder.layer.0.attention.self.value"]] * 2 if exclude else [[], []])
    assert min(losses[False]) > 20
    assert max(losses[True]) <= 10

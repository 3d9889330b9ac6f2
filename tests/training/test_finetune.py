from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from aebert.config import DistillConfig, TrainConfig
from aebert.digests import weights_digest
from aebert.errors import ModelError
from aebert.models.counting import shape_of
from aebert.models.depth import first_layers
from aebert.models.evaluation import Prepared, evaluate, prepare
from aebert.progress import Bar
from aebert.pruning.slicing import Selection, extract
from aebert.tasks.encoding import encode_windows
from aebert.tasks.task import Row, TaskSpec
from aebert.training.finetune import fine_tune, last_whole_checkpoint

TinyModel = Callable[..., PreTrainedModel]
TinyTask = Callable[..., tuple[TaskSpec, list[Row]]]
CONFIG = TrainConfig(epochs=2, learning_rate=3e-3, batch_size=8)  # of 32 rows: 8 steps, saved at 2, 4, 6 and 8
LONGER = CONFIG.model_copy(update={"epochs": 16.0, "batch_size": 16})
KEEP = Selection(((0, 2), ()), ((1, 8, 9, 40, 63), ()))


class Steps:
    """A progress that counts steps, and fails at one of them if asked to."""

    def __init__(self, fail_at: float = float("inf")) -> None:
        self.fail_at = fail_at
        self.total: float | None = None
        self.resumed_at, self.taken = 0.0, 0.0
        self.notes: list[str] = []

    def advance(self, steps: float = 1, note: str = "") -> None:
        if steps == 1:
            self.taken += 1
        else:
            self.resumed_at += steps
        self.notes += [note] if note else []
        if self.resumed_at + self.taken >= self.fail_at:
            raise KeyboardInterrupt

    @contextmanager
    def bar(self, title: str, total: float | None) -> Iterator[Bar]:
        self.total = total
        yield self

    def say(self, line: str) -> None:
        raise AssertionError(line)


@pytest.fixture
def train(tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Callable[..., Steps]:
    """Fine-tune on the tiny task; returns what the progress saw."""

    def run(
        model: PreTrainedModel,
        kind: Literal["classification", "regression", "ner"] = "classification",
        config: TrainConfig = CONFIG,
        folder: Path = tmp_path / "checkpoints",
        steps: Steps | None = None,
        seed: int = 5,
        **options: Any,
    ) -> Steps:
        spec, rows = tiny_task(kind)
        steps = steps or Steps()
        fixed: dict[str, Any] = {"max_length": 32, "seed": seed, "folder": folder, "progress": steps}
        fine_tune(model, tiny_tokenizer, rows, spec, config, **fixed, **options)
        return steps

    return run


@pytest.fixture
def prepared(tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast) -> Callable[..., Prepared]:
    def make(kind: Literal["classification", "regression", "ner"] = "classification") -> Prepared:
        spec, rows = tiny_task(kind)
        return prepare(rows, spec, tiny_tokenizer, 32, 10_000)

    return make


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def stop_at(train: Callable[..., Steps], model: PreTrainedModel, step: int, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(model, steps=Steps(fail_at=step), **options)


@pytest.mark.parametrize(
    ("kind", "head", "outputs"), [("classification", "sequence", 2), ("regression", "sequence", 1), ("ner", "token", 3)]
)
def test_training_learns_the_rows(
    tiny_model: TinyModel,
    train: Callable[..., Steps],
    prepared: Callable[..., Prepared],
    tmp_path: Path,
    kind: str,
    head: str,
    outputs: int,
) -> None:
    model = tiny_model("bert", head, outputs)
    before = evaluate(model, prepared(kind)).loss
    steps = train(model, kind, config=LONGER)
    after = evaluate(model, prepared(kind)).loss  # in eval mode, or it would refuse
    assert after < 0.65 * before  # guessing at equal odds is 0.75 of it
    assert (steps.total, steps.taken) == (32, 32)
    assert steps.notes[0].startswith("loss ")
    assert not (tmp_path / "checkpoints").exists()


def test_long_sentences_are_trained_on_in_windows(
    tiny_model: TinyModel, tiny_task: TinyTask, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    spec, rows = tiny_task("ner")
    seen = []
    for window in (False, True):
        model, steps = tiny_model("bert", "token", 3), Steps()
        given = replace(spec, window=window)
        config = CONFIG.model_copy(update={"batch_size": 1, "epochs": 1.0})
        fixed: dict[str, Any] = {"max_length": 5, "seed": 5, "folder": tmp_path, "progress": steps}
        fine_tune(model, tiny_tokenizer, rows, given, config, **fixed)
        assert steps.taken == steps.total
        seen.append(steps.taken)
    assert seen[0] == len(rows)
    assert seen[1] == sum(map(len, encode_windows(rows, replace(spec, window=True), tiny_tokenizer, 5))) > len(rows)


def test_a_sub_network_keeps_its_shape(tiny_model: TinyModel, train: Callable[..., Steps]) -> None:
    small = extract(tiny_model(labels=2), KEEP)
    shape, before = shape_of(small), weights(small)
    train(small, config=CONFIG.model_copy(update={"epochs": 1.0}))
    assert shape_of(small) == shape
    after = weights(small)
    assert {name: tensor.shape for name, tensor in after.items()} == {n: t.shape for n, t in before.items()}
    # the bias of the empty blocks learns too
    name = "bert.encoder.layer.1.attention.output.dense.bias"
    assert not torch.equal(after[name], before[name])


@pytest.mark.parametrize("stopped_at", [3, 8])
def test_an_interrupted_run_goes_on_and_ends_the_same(
    tiny_model: TinyModel, train: Callable[..., Steps], tmp_path: Path, stopped_at: int
) -> None:
    whole, halves, start = tiny_model(labels=2), tiny_model(labels=2), weights(tiny_model(labels=2))
    train(whole, folder=tmp_path / "whole")
    stop_at(train, halves, stopped_at)
    halves.load_state_dict(start)  # a new process starts from the same weights
    steps = train(halves)
    saved = {3: 2, 8: 6}[stopped_at]
    assert (steps.resumed_at, steps.taken) == (saved, 8 - saved)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(halves)[name], tensor, rtol=1e-6, atol=1e-7, msg=name)


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not(
    tiny_model: TinyModel, train: Callable[..., Steps]
) -> None:
    models = [tiny_model(labels=2) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        train(model, seed=seed, config=CONFIG.model_copy(update={"epochs": 1.0}))
    first, same, other = map(weights_digest, models)
    assert first == same != other


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_half_written_checkpoint_is_ignored(
    tiny_model: TinyModel, train: Callable[..., Steps], tmp_path: Path, damage: str
) -> None:
    model, start = tiny_model(labels=2), weights(tiny_model(labels=2))
    stop_at(train, model, 3)
    (found,) = (tmp_path / "checkpoints").rglob("checkpoint-2")
    half = found.parent / "checkpoint-4"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    if damage == "truncated":
        (half / "trainer_state.json").write_text('{"global_step": 4, ')
    assert last_whole_checkpoint(found.parent) == str(found)
    model.load_state_dict(start)
    assert train(model).resumed_at == 2


def test_without_checkpoints_there_is_none_to_go_on_from(tmp_path: Path) -> None:
    assert last_whole_checkpoint(tmp_path / "nowhere") is None


def test_checkpoints_are_compared_by_number(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text("{}")
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.mark.parametrize(
    "changed", [{"seed": 6}, {"config": CONFIG.model_copy(update={"learning_rate": 1e-3})}, {"kind": "regression"}]
)
def test_checkpoints_of_another_run_are_not_gone_on_from(
    tiny_model: TinyModel, train: Callable[..., Steps], changed: dict[str, Any]
) -> None:
    labels = 1 if "kind" in changed else 2
    stop_at(train, tiny_model(labels=2), 3)
    steps = train(tiny_model(labels=labels), **changed)
    assert (steps.resumed_at, steps.taken) == (0, 8)


def test_checkpoints_of_other_weights_are_not_gone_on_from(tiny_model: TinyModel, train: Callable[..., Steps]) -> None:
    stop_at(train, tiny_model(labels=2), 3)
    assert train(tiny_model(labels=2, seed=1)).resumed_at == 0


def test_a_student_moves_towards_its_teacher_and_the_teacher_stays(
    tiny_model: TinyModel, train: Callable[..., Steps], prepared: Callable[..., Prepared]
) -> None:
    teacher = tiny_model(labels=2)
    wanted, digest = evaluate(teacher, prepared()), weights_digest(teacher)
    student = extract(teacher, KEEP)
    distances = [_distance(student, prepared(), wanted.logits)]
    train(student, teacher=teacher, distill=DistillConfig(logits=1.0, hidden=0.0), config=LONGER)
    distances.append(_distance(student, prepared(), wanted.logits))
    assert distances[1] < distances[0] / 2
    assert (weights_digest(teacher), teacher.training) == (digest, False)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def _distance(model: PreTrainedModel, prepared: Prepared, wanted: Any) -> float:
    """Mean absolute difference of the probability of class 1."""
    mine, theirs = (
        torch.tensor([row.tolist() for row in logits]).softmax(1)[:, 1]
        for logits in (evaluate(model, prepared).logits, wanted)
    )
    return float((mine - theirs).abs().mean())


def test_hidden_states_are_drawn_to_the_teacher_s(
    tiny_model: TinyModel, train: Callable[..., Steps], padded_batch: dict[str, torch.Tensor]
) -> None:
    teacher = tiny_model(labels=2)
    students = [extract(teacher, KEEP) for _ in range(2)]
    for student, hidden in zip(students, (0.0, 10.0), strict=True):
        train(student, teacher=teacher, distill=DistillConfig(logits=0.5, hidden=hidden))
    with torch.no_grad():
        states = [m(**padded_batch, output_hidden_states=True).hidden_states[-1] for m in (teacher, *students)]
    assert (states[2] - states[0]).square().mean() < (states[1] - states[0]).square().mean()


def test_a_student_of_fewer_layers_is_drawn_to_the_last_of_its_teacher(
    tiny_model: TinyModel, train: Callable[..., Steps], padded_batch: dict[str, torch.Tensor]
) -> None:
    teacher = tiny_model(labels=2)
    students = [first_layers(teacher, 1) for _ in range(2)]
    for student, hidden in zip(students, (0.0, 10.0), strict=True):
        train(student, teacher=teacher, distill=DistillConfig(logits=0.5, hidden=hidden))
    with torch.no_grad():
        states = [m(**padded_batch, output_hidden_states=True).hidden_states[-1] for m in (teacher, *students)]
    assert (states[2] - states[0]).square().mean() < 0.9 * (states[1] - states[0]).square().mean()


def test_distillation_without_a_teacher_is_an_error(tiny_model: TinyModel, train: Callable[..., Steps]) -> None:
    with pytest.raises(ModelError, match=r"needs a teacher: pass the dense model, or set finalists\.distill to null"):
        train(tiny_model(labels=2), distill=DistillConfig())


def test_a_loss_that_is_not_finite_stops_training_at_that_step(
    tiny_model: TinyModel, train: Callable[..., Steps]
) -> None:
    model = tiny_model(labels=2)
    model.classifier.bias.data[0] = float("inf")  # as a too high learning rate leaves it
    message = r"^fine-tune: the loss must stay finite, at step 1 it is not: lower learning_rate$"
    with pytest.raises(ModelError, match=message):
        train(model, config=CONFIG.model_copy(update={"epochs": 400}))


def test_a_loss_may_also_stop_being_finite_later(tiny_model: TinyModel, train: Callable[..., Steps]) -> None:
    steep = CONFIG.model_copy(update={"epochs": 400, "learning_rate": 1e38, "warmup_ratio": 0.0})
    with pytest.raises(ModelError, match=r"^fine-tune: the loss must stay finite, at step [2-9] it is not"):
        train(tiny_model(labels=2), config=steep)


def test_weights_that_are_not_finite_are_an_error(tiny_model: TinyModel, train: Callable[..., Steps]) -> None:
    model = tiny_model(labels=2)
    model.bert.embeddings.position_embeddings.weight.data[-1] = float("inf")  # of a position that no row reaches
    with pytest.raises(ModelError, match=r"fine-tune: weights must stay finite, they did not: lower learning_rate"):
        train(model, config=CONFIG.model_copy(update={"epochs": 0.25}))


def test_the_output_layer_may_have_its_own_learning_rate(
    tiny_model: Any, tiny_tokenizer: Any, tiny_task: Any, tmp_path: Path
) -> None:
    spec, rows = tiny_task("classification")
    moved = {}
    for name, head_rate in (("same", None), ("own", 1e-1)):
        model = tiny_model("bert", labels=2)
        start = {key: value.clone() for key, value in model.state_dict().items()}
        config = TrainConfig(epochs=1, batch_size=32, learning_rate=1e-4, head_learning_rate=head_rate, warmup_ratio=0)
        fine_tune(model, tiny_tokenizer, rows, spec, config, max_length=16, seed=0, folder=tmp_path / name)
        moved[name] = {key: (value - start[key]).abs().max().item() for key, value in model.state_dict().items()}
    # one step of Adam moves a weight by about its learning rate
    assert moved["same"]["classifier.weight"] == pytest.approx(1e-4, rel=0.05)
    assert moved["own"]["classifier.weight"] == pytest.approx(1e-1, rel=0.05)
    encoder = "bert.encoder.layer.0.output.dense.weight"
    assert moved["own"][encoder] == pytest.approx(moved["same"][encoder], rel=1e-3)

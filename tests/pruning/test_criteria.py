from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import DataError
from aebert.models.counting import shape_of
from aebert.models.evaluation import example_losses
from aebert.models.families import FAMILIES, Block, family_of
from aebert.progress import SILENT, Bar, Progress
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import CRITERIA, Calibration, Importance, select
from aebert.pruning.slicing import Selection, extract
from aebert.tasks.task import TaskSpec

TinyModel = Callable[..., PreTrainedModel]
Tensors = dict[str, torch.Tensor]
every_criterion = pytest.mark.parametrize("criterion", list(CRITERIA))
from_gradients = pytest.mark.parametrize("criterion", ["fisher", "taylor"])
from_the_model = pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "random"])
every_family = pytest.mark.parametrize("family", list(FAMILIES))


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


@pytest.fixture
def calibration(padded_batch: Tensors) -> Calibration:
    """Two batches of 3 rows each, with padding."""
    second = {name: tensor.flip(0) for name, tensor in padded_batch.items()}
    batches = [
        {**padded_batch, "labels": torch.tensor([0, 1, 2])},
        {
            **second,
            "input_ids": (second["input_ids"] * 7 % 50 + 3) * second["attention_mask"],
            "labels": torch.ones(3).long(),
        },
    ]
    return Calibration(batches, cross_entropy, seed=0)


def score(criterion: str, model: PreTrainedModel, calibration: Calibration, progress: Progress = SILENT) -> Importance:
    return CRITERIA[criterion](model, calibration, progress)


def flat(importance: Importance) -> np.ndarray:
    return np.concatenate([*importance.heads, *importance.ffn])


def blocks_of(model: PreTrainedModel) -> list[tuple[Block, int]]:
    """Each block with the rows of one of its units."""
    family = family_of(model.config)
    attention = [(block, family.head_size(model.config)) for block in family.attention_blocks(model)]
    return attention + [(block, 1) for block in family.ffn_blocks(model)]


@every_criterion
@every_family
def test_scores_are_finite_float64_one_per_unit_and_repeatable(
    tiny_model: TinyModel, calibration: Calibration, criterion: str, family: str
) -> None:
    model = tiny_model(family)
    shape = shape_of(model)
    scores = score(criterion, model, calibration)
    assert [part.shape for part in scores.heads] == [(count,) for count in shape.heads]
    assert [part.shape for part in scores.ffn] == [(count,) for count in shape.ffn]
    assert {part.dtype for part in (*scores.heads, *scores.ffn)} == {np.dtype(np.float64)}
    assert np.isfinite(flat(scores)).all()
    assert all(len(set(part)) == len(part) for part in scores.heads)  # random weights: no two units alike
    assert np.array_equal(flat(score(criterion, model, calibration)), flat(scores))


@every_criterion
def test_the_model_is_left_as_found(tiny_model: TinyModel, calibration: Calibration, criterion: str) -> None:
    model = tiny_model().train()
    model.classifier.eval()
    model.bert.embeddings.requires_grad_(False)
    model.classifier.weight.grad = torch.full_like(model.classifier.weight, 2.0)
    found = _state(model)
    score(criterion, model, calibration)
    assert _state(model) == found


def _state(model: PreTrainedModel) -> tuple[object, ...]:
    return (
        weights_digest(model),
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad is None or parameter.grad.tolist() for parameter in model.parameters()],
        [len(module._forward_pre_hooks) for module in model.modules()],
    )


@from_gradients
def test_the_model_is_left_as_found_by_a_loss_that_fails(
    tiny_model: TinyModel, calibration: Calibration, criterion: str
) -> None:
    def fails(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    model = tiny_model().train()
    found = _state(model)
    with pytest.raises(ZeroDivisionError):
        score(criterion, model, Calibration(batches=calibration.batches, loss=fails, seed=0))
    assert _state(model) == found


@from_the_model
@every_family
def test_a_unit_without_weights_is_worth_nothing_and_goes_first(
    tiny_model: TinyModel, calibration: Calibration, criterion: str, family: str
) -> None:
    model = tiny_model(family)
    for block, size in blocks_of(model):
        rows = slice(2 * size, 3 * size)  # of unit 2
        for place in block.inputs:
            place.module.weight.data[rows] = 0.0
        block.output.module.weight.data[:, rows] = 0.0
    scores = score(criterion, model, calibration)
    for part in (*scores.heads, *scores.ffn):
        assert part[2] == 0.0
        assert (part >= 0.0).all()
        assert (part > 0.0).sum() > len(part) / 4  # MobileBERT's ReLU kills some neurons on these rows
    kept = select(scores, Architecture((3, 3), (1,) * len(scores.ffn)))
    assert kept.heads == ((0, 1, 3), (0, 1, 3))
    assert all(units != (2,) for units in kept.ffn)


@from_the_model
@every_family
def test_permuting_the_units_of_a_block_permutes_their_scores(
    tiny_model: TinyModel, calibration: Calibration, criterion: str, family: str
) -> None:
    model = tiny_model(family)
    before = score(criterion, model, calibration)
    orders = [torch.randperm(block.output.module.in_features // size).tolist() for block, size in blocks_of(model)]
    for (block, size), order in zip(blocks_of(model), orders, strict=True):
        rows = [unit * size + row for unit in order for row in range(size)]
        for place in block.inputs:
            place.module.weight.data = place.module.weight.data[rows]
            place.module.bias.data = place.module.bias.data[rows]
        block.output.module.weight.data = block.output.module.weight.data[:, rows]
    after = score(criterion, model, calibration)
    for mine, theirs, order in zip((*after.heads, *after.ffn), (*before.heads, *before.ffn), orders, strict=True):
        np.testing.assert_allclose(mine, theirs[order], rtol=1e-3, atol=1e-5 * theirs.max())


@from_gradients
def test_scores_do_not_depend_on_how_rows_are_batched(
    tiny_model: TinyModel, calibration: Calibration, criterion: str
) -> None:
    alone = []
    for batch in calibration.batches:
        for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
            one = {name: tensor[row : row + 1, :length] for name, tensor in batch.items() if name != "labels"}
            alone.append({**one, "labels": batch["labels"][row : row + 1]})
    model = tiny_model()
    together = flat(score(criterion, model, calibration))
    one_by_one = flat(score(criterion, model, Calibration(batches=alone, loss=cross_entropy, seed=0)))
    np.testing.assert_allclose(one_by_one, together, rtol=1e-3, atol=1e-5 * together.max())


def _finite_differences(model: PreTrainedModel, batch: Tensors, calibration: Calibration) -> np.ndarray:
    """Derivative of every example's loss to every unit's outgoing weights' scale, [units, batch], in float64."""
    model = copy.deepcopy(model).double()
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    found, step = [], 1e-4
    for block, size in blocks_of(model):
        weight = block.output.module.weight.data
        for start in range(0, weight.shape[1], size):
            if size == 1 and start % 8:  # every 8th neuron, to save time
                found.append(np.full(len(batch["labels"]), np.nan))
                continue
            losses, original = [], weight[:, start : start + size].clone()
            for scale in (1 + step, 1 - step):
                weight[:, start : start + size] = original * scale
                losses.append(calibration.loss(model(**inputs).logits, batch["labels"]))
            weight[:, start : start + size] = original
            found.append(((losses[0] - losses[1]) / (2 * step)).numpy())
    return np.stack(found)


@pytest.mark.parametrize(("family", "head"), [("bert", "sequence"), ("bert", "token"), ("mobilebert", "sequence")])
def test_gradient_criteria_against_finite_differences(
    tiny_model: TinyModel, calibration: Calibration, family: str, head: str
) -> None:
    model = tiny_model(family, head)
    batch = dict(calibration.batches[0])
    if head == "token":
        spec = TaskSpec(
            name="toy",
            kind="ner",
            columns=("words",),
            label_column="tags",
            labels=("X",),
            metric="seqeval",
            headline="f1",
        )
        batch["labels"] = torch.where(batch["attention_mask"] == 1, batch["input_ids"] % 3, -100)
        calibration = Calibration(
            batches=[batch], loss=lambda logits, labels: example_losses(spec, logits, labels), seed=0
        )
    else:
        calibration = Calibration(batches=[batch], loss=cross_entropy, seed=0)
    with torch.no_grad():
        slopes = _finite_differences(model, batch, calibration)
    for criterion, expected in (("fisher", (slopes**2).mean(1)), ("taylor", np.abs(slopes).mean(1))):
        scores = flat(score(criterion, model, calibration))
        tried = np.isfinite(expected)
        assert tried.sum() == 8 + len(scores[8:]) / 8
        tolerance = 1e-4 * expected[tried].max()
        np.testing.assert_allclose(scores[tried], expected[tried], rtol=2e-3, atol=tolerance, err_msg=criterion)


@from_gradients
def test_calibration_without_rows_is_an_error(tiny_model: TinyModel, criterion: str) -> None:
    with pytest.raises(DataError, match=r"at least one labelled row, got none: check data\.roles and data\.limits"):
        score(criterion, tiny_model(), Calibration(batches=[], loss=cross_entropy, seed=0))


@every_criterion
@pytest.mark.parametrize("heads", [((1, 3), ()), ((), ())])
def test_pruned_models_can_be_scored_again(
    tiny_model: TinyModel, calibration: Calibration, criterion: str, heads: tuple[tuple[int, ...], ...]
) -> None:
    """Also those of which nothing is left."""
    ffn = ((0, 9, 5 * 7), ()) if heads[0] else ((), ())
    scores = score(criterion, extract(tiny_model(), Selection(heads, ffn)), calibration)
    assert [len(part) for part in scores.heads] == [len(units) for units in heads]
    assert [len(part) for part in scores.ffn] == [len(units) for units in ffn]
    assert np.isfinite(flat(scores)).all()


def test_magnitude_by_hand(tiny_model: TinyModel, calibration: Calibration) -> None:
    model = tiny_model()
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
    scores = score("magnitude", model, calibration)
    # a head of 8 rows has 4 × 8 × 32 = 32² weights of 1, a neuron 2 × 32 = 8²
    assert [part.tolist() for part in scores.heads] == [[32.0] * 4] * 2
    assert [part.tolist() for part in scores.ffn] == [[8.0] * 64] * 2


def test_random_scores_are_the_seed_s(tiny_model: TinyModel) -> None:
    model = tiny_model()
    first, same, other = (
        flat(score("random", model, Calibration(batches=[], loss=cross_entropy, seed=seed))) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


class _Watcher:
    def __init__(self) -> None:
        self.bars: list[tuple[str, float | None]] = []
        self.steps = 0.0

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.steps += steps

    @contextmanager
    def bar(self, title: str, total: float | None) -> Iterator[Bar]:
        self.bars.append((title, total))
        yield self

    def say(self, line: str) -> None:
        raise AssertionError(line)


@from_gradients
def test_progress_is_told_batch_by_batch(tiny_model: TinyModel, calibration: Calibration, criterion: str) -> None:
    watcher = _Watcher()
    score(criterion, tiny_model(), calibration, watcher)
    assert (watcher.bars, watcher.steps) == ([("importance", 2)], 2)


scores_and_counts = st.lists(
    st.lists(st.floats(0, 1, width=16), min_size=1, max_size=12).flatmap(
        lambda scores: st.tuples(st.just(np.array(scores)), st.integers(0, len(scores)))
    ),
    min_size=1,
    max_size=4,
)


@given(scores_and_counts, scores_and_counts)
def test_select_keeps_the_requested_counts_of_the_best(
    heads: list[tuple[np.ndarray, int]], ffn: list[tuple[np.ndarray, int]]
) -> None:
    architecture = Architecture(tuple(count for _, count in heads), tuple(count for _, count in ffn))
    kept = select(Importance(tuple(part for part, _ in heads), tuple(part for part, _ in ffn)), architecture)
    assert kept.architecture == architecture
    for (scores, _), units in zip((*heads, *ffn), (*kept.heads, *kept.ffn), strict=True):
        assert list(units) == sorted(set(units))
        dropped = set(range(len(scores))) - set(units)
        assert all(scores[unit] >= scores[other] for unit in units for other in dropped)


def test_among_equals_the_first_are_kept() -> None:
    importance = Importance((np.array([0.5, 0.9, 0.5, 0.5]),), (np.zeros(5),))
    assert select(importance, Architecture((3,), (2,))) == Selection(((0, 1, 2),), ((0, 1),))

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import ConfigError, DataError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, Block, family_of
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Calibration
from aebert.pruning.kwon import KwonPruner, rearrange, tune
from aebert.pruning.slicing import Selection, extract, masked

TinyModel = Callable[..., PreTrainedModel]
Tensors = dict[str, torch.Tensor]
every_family = pytest.mark.parametrize("family", list(FAMILIES))


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


@pytest.fixture
def calibration(padded_batch: Tensors) -> Calibration:
    """Two batches of 3 rows each, with padding."""
    second = {name: tensor.flip(0) for name, tensor in padded_batch.items()}
    mixed = (second["input_ids"] * 7 % 50 + 3) * second["attention_mask"]
    batches = [
        {**padded_batch, "labels": torch.tensor([0, 1, 2])},
        {**second, "input_ids": mixed, "labels": torch.ones(3).long()},
    ]
    return Calibration(batches, cross_entropy, seed=0)


def for_head(head: str, calibration: Calibration) -> Calibration:
    """The same rows with a loss that fits the head."""
    if head == "sequence":
        return calibration
    return Calibration(batches=calibration.batches, loss=lambda logits, labels: logits.square().mean((1, 2)), seed=0)


def inputs_of(batch: Tensors) -> Tensors:
    return {name: tensor for name, tensor in batch.items() if name != "labels"}


def uneven(model: PreTrainedModel) -> Architecture:
    blocks = len(shape_of(model).ffn)
    return Architecture((3, 2), tuple([40, 9, 23, 31, 12, 50][:blocks]))


# --- rearrangement --------------------------------------------------------------------------------------------------


def damage(gradients: np.ndarray, removed: Sequence[int]) -> float:
    """Block-diagonal Fisher of removing these units at once."""
    return sum(float(sum(row[unit] for unit in removed)) ** 2 for row in gradients)


def greedy(gradients: np.ndarray, keep: int) -> set[int]:
    """The published procedure, word for word; gradients of whole numbers, so that it is exact."""
    units = list(range(gradients.shape[1]))
    worst_first = sorted(units, key=lambda unit: (damage(gradients, [unit]), -unit))
    removed, kept = worst_first[: len(units) - keep], worst_first[len(units) - keep :]
    for candidate in kept if removed else []:
        removed.append(candidate)
        back = min(removed, key=lambda unit: damage(gradients, [other for other in removed if other != unit]))
        removed.remove(back)
    return set(units) - set(removed)


whole = st.integers(-9, 9).map(float)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 8))
gradients_and_keep = arrays(np.float64, shapes, elements=whole).flatmap(
    lambda found: st.tuples(st.just(found), st.integers(0, found.shape[1]))
)


@given(gradients_and_keep)
def test_rearrange_is_the_published_greedy(drawn: tuple[np.ndarray, int]) -> None:
    gradients, keep = drawn
    kept = rearrange(gradients, keep)
    assert list(kept) == sorted(greedy(gradients, keep))


@given(gradients_and_keep)
def test_rearrange_lies_between_the_best_set_and_its_start(drawn: tuple[np.ndarray, int]) -> None:
    gradients, keep = drawn
    units = gradients.shape[1]
    mine = damage(gradients, sorted(set(range(units)) - set(rearrange(gradients, keep))))
    best = min(damage(gradients, removed) for removed in itertools.combinations(range(units), units - keep))
    scores = (gradients**2).sum(0)
    start = sorted(range(units), key=lambda unit: (scores[unit], -unit))[: units - keep]
    assert best <= mine <= damage(gradients, start)


def test_rearrange_by_hand() -> None:
    """Units 0 and 1 are least alone, but point the same way; 2 and 3 cancel each other."""
    gradients = np.array([[2.0, 2.0, 3.0, -3.0], [0.0, 0.0, 1.0, -1.0]])
    assert rearrange(gradients, 2) == (0, 1)
    # 1 removed: 4; 0 joins and 1, removed first, comes back: still 4; 3 and 2 are larger and come back at once
    assert rearrange(gradients, 3) == (1, 2, 3)
    # 1, 0, 3 removed: 2; 2 joins; 1 or 0 back would leave 4, 3 back 50, 2 back 2
    assert rearrange(gradients, 1) == (2,)
    assert rearrange(gradients, 0) == ()
    assert rearrange(gradients, 4) == (0, 1, 2, 3)


# --- selection ------------------------------------------------------------------------------------------------------


def test_select_rearranges_each_block_by_its_own_gradients(tiny_model: TinyModel, calibration: Calibration) -> None:
    """Gradients of one example after the other, by autograd through scaled output weights."""
    model = tiny_model()
    family = family_of(model.config)
    blocks = [(b, 8) for b in family.attention_blocks(model)] + [(b, 1) for b in family.ffn_blocks(model)]
    slopes: list[list[np.ndarray]] = [[] for _ in blocks]
    for batch in calibration.batches:
        for row in range(3):
            one = {name: tensor[row : row + 1] for name, tensor in batch.items()}
            model.zero_grad()
            cross_entropy(model(**inputs_of(one)).logits, one["labels"]).sum().backward()  # type: ignore[no-untyped-call]
            for (block, size), found in zip(blocks, slopes, strict=True):
                weight = block.output.module.weight
                # d loss / d scale of some columns = sum of weight * gradient over them
                found.append((weight * weight.grad).detach().sum(0).reshape(-1, size).sum(1).numpy())
    model.zero_grad()
    kept = KwonPruner(model, calibration).select(Architecture((2, 1), (30, 11)))
    for units, found, count in zip((*kept.heads, *kept.ffn), slopes, (2, 1, 30, 11), strict=True):
        gradients = np.stack(found)
        assert gradients.shape[0] == 6
        assert units == rearrange(gradients, count)
    assert kept.architecture == Architecture((2, 1), (30, 11))


# --- tuning ---------------------------------------------------------------------------------------------------------


def _sums(model: PreTrainedModel, block: Block, norm: torch.nn.Module, batch: Tensors) -> tuple[torch.Tensor, ...]:
    """What enters the block's output projection and the norm behind it, over a whole forward pass."""
    seen: list[torch.Tensor] = []
    handles = [
        module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
        for module in (block.output.module, norm)
    ]
    with torch.no_grad():
        model(**inputs_of(batch))
    for handle in handles:
        handle.remove()
    return tuple(seen)


def _norm_of(model: PreTrainedModel, block: Block, layer: int, ffn: bool) -> torch.nn.Module:
    if model.config.model_type.endswith("distilbert"):
        return getattr(family_of(model.config).encoder_layers(model)[layer], ("sa_", "output_")[ffn] + "layer_norm")  # type: ignore[no-any-return]
    return block.output.parent.LayerNorm  # type: ignore[return-value]


def _block(model: PreTrainedModel, ffn: bool, index: int) -> Block:
    family = family_of(model.config)
    return (family.ffn_blocks(model) if ffn else family.attention_blocks(model))[index]


def _contributions(
    dense: PreTrainedModel,
    small: PreTrainedModel,
    where: tuple[int, bool, int],
    batches: Sequence[Tensors],
    first_only: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A block's least squares problem written out: a column per unit [tokens * hidden, units], and what is missing."""
    layer, ffn, index = where
    columns, missing = [], []
    size = 1 if ffn else family_of(small.config).head_size(small.config)
    for batch in batches:
        block = _block(small, ffn, index)
        inputs, total = _sums(small, block, _norm_of(small, block, layer, ffn), batch)
        theirs = _block(dense, ffn, index)
        _, target = _sums(dense, theirs, _norm_of(dense, theirs, layer, ffn), batch)
        real = batch["attention_mask"].bool()
        for row, token in real.nonzero().tolist():
            if first_only and token > 0:
                continue
            products = block.output.module.weight.double() * inputs[row, token].double()
            columns.append(products.reshape(len(products), -1, size).sum(2).detach())
            missing.append((target - total)[row, token].double())
    return torch.cat(columns), torch.cat(missing)


def _damped(columns: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    """Scales by an independent solver: least squares of the normal equations with an identity below."""
    gram, right = columns.T @ columns, columns.T @ missing
    stacked = torch.cat([gram, torch.eye(len(gram)).double()])
    below = torch.cat([right, torch.zeros(len(gram)).double()])
    change: torch.Tensor = torch.linalg.lstsq(stacked, below, driver="gelsd").solution
    return 1 + change


def _scales(before: PreTrainedModel, after: PreTrainedModel) -> list[torch.Tensor]:
    """Per block, attention first, what the columns of the output projection were multiplied by."""
    found = []
    family = family_of(before.config)
    for blocks in (family.attention_blocks, family.ffn_blocks):
        for old, new in zip(blocks(before), blocks(after), strict=True):
            if old.output.module.in_features:
                a, b = old.output.module.weight.detach(), new.output.module.weight.detach()
                ratio = ((a * b).sum(0) / (a * a).sum(0)).detach()
                torch.testing.assert_close(b, a * ratio, rtol=1e-4, atol=1e-6)
                found.append(ratio)
            else:
                found.append(torch.zeros(0))
    return found


def _halved(model: PreTrainedModel) -> Selection:
    heads = len(shape_of(model).heads)
    return Selection(((0, 3), (1, 2))[:heads], (tuple(range(0, 64, 2)),) * len(shape_of(model).ffn))


@pytest.mark.parametrize("head", ["sequence", "token"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_scales_solve_the_least_squares_problem_of_every_block(
    tiny_model: TinyModel, calibration: Calibration, family: str, head: str
) -> None:
    """Each block's problem is written out on the model as it was when the block's turn came."""
    dense = tiny_model(family, head, seed=3)  # one that needs no scale beyond 10
    small = extract(dense, _halved(dense))
    tuned = copy.deepcopy(small)
    tune(dense, tuned, calibration.batches)
    scales = _scales(small, tuned)  # attention 0, 1, ffn 0, 1
    torch.testing.assert_close(scales[0], torch.ones(16))  # as in the authors' code
    now = copy.deepcopy(small)
    for where, mine in (((0, True, 0), scales[2]), ((1, False, 1), scales[1]), ((1, True, 1), scales[3])):
        layer, ffn, index = where
        first_only = ffn and layer == 1 and head == "sequence"
        columns, missing = _contributions(dense, now, where, calibration.batches, first_only)
        if ffn:
            wanted = _damped(columns, missing)
        else:  # a number for all tokens and features is free
            wanted = _damped(columns - columns.mean(0), missing - missing.mean()).repeat_interleave(8)
        torch.testing.assert_close(mine.double(), wanted, rtol=2e-3, atol=2e-3)
        assert (mine - 1).abs().max() > 0.1
        _block(now, ffn, index).output.module.weight.data *= mine


def test_where_no_layer_norm_follows_attention_may_not_miss_by_a_number(
    tiny_model: TinyModel, calibration: Calibration
) -> None:
    dense = tiny_model("mobilebert")
    every = tuple(range(64))
    small = extract(dense, Selection(((0, 1, 2, 3), (1, 2)), (every,) * len(shape_of(dense).ffn)))
    tuned = copy.deepcopy(small)
    tune(dense, tuned, calibration.batches)
    wanted = _damped(*_contributions(dense, small, (1, False, 1), calibration.batches)).repeat_interleave(4)
    torch.testing.assert_close(_scales(small, tuned)[1].double(), wanted, rtol=1e-3, atol=1e-3)
    columns, missing = _contributions(dense, small, (1, False, 1), calibration.batches)
    shifted = _damped(columns - columns.mean(0), missing - missing.mean()).repeat_interleave(4)
    assert (shifted - wanted).abs().max() > 5e-3


@every_family
@pytest.mark.parametrize("head", ["sequence", "token"])
def test_tuning_brings_every_block_closer(
    tiny_model: TinyModel, calibration: Calibration, family: str, head: str
) -> None:
    """Its squared error on the calibration rows, before and after its own scales, on tuned inputs."""
    dense = tiny_model(family, head)
    small = extract(dense, KwonPruner(dense, for_head(head, calibration)).select(uneven(dense)))
    tuned = copy.deepcopy(small)
    tune(dense, tuned, calibration.batches)
    scales, gained = _scales(small, tuned), 0
    each = len(shape_of(dense).ffn) // 2
    for layer, ffn, index in [
        (layer, place > 0, layer * each + place - 1 if place else layer)
        for layer in (0, 1)
        for place in range(each + 1)
    ]:
        first_only = ffn and layer == 1 and head == "sequence"
        columns, missing = _contributions(dense, tuned, (layer, ffn, index), calibration.batches, first_only)
        if not ffn and family != "mobilebert":
            columns, missing = columns - columns.mean(0), missing - missing.mean()
        scale = scales[2 + index if ffn else index].double()[:: 1 if ffn else 32 // 4 if family != "mobilebert" else 4]
        after = float(missing.square().sum())
        before = float((missing + columns @ (1 - 1 / scale)).square().sum())
        assert after <= before * (1 + 1e-5) + 1e-9
        gained += after < 0.98 * before
    assert gained >= 2 * each


def test_tuned_units_are_scaled_inputs_of_the_masked_model(tiny_model: TinyModel, calibration: Calibration) -> None:
    dense = tiny_model("electra")
    selection = _halved(dense)
    small = extract(dense, selection)
    tuned = copy.deepcopy(small)
    tune(dense, tuned, calibration.batches)
    family = family_of(dense.config)
    scales = _scales(small, tuned)
    kept = [[unit * 8 + row for unit in units for row in range(8)] for units in selection.heads]
    kept += [list(units) for units in selection.ffn]
    with masked(dense, selection), torch.no_grad():
        handles = []
        for block, rows, scale in zip(
            (*family.attention_blocks(dense), *family.ffn_blocks(dense)), kept, scales, strict=True
        ):
            whole_scale = torch.ones(block.output.module.in_features).index_copy(0, torch.tensor(rows), scale)
            handles.append(
                block.output.module.register_forward_pre_hook(lambda _, inputs, by=whole_scale: (inputs[0] * by,))
            )
        batch = inputs_of(calibration.batches[0])
        expected = dense(**batch).logits
        for handle in handles:
            handle.remove()
        untuned = dense(**batch).logits
        torch.testing.assert_close(tuned(**batch).logits, expected, rtol=1e-4, atol=1e-5)
    assert (untuned - expected).abs().max() > 1e-2


def test_removing_copies_of_units_is_undone(tiny_model: TinyModel, calibration: Calibration) -> None:
    """Unit 2k + 1 of each FFN is its neighbour again: the one kept must count double, and nothing else changes."""
    dense = tiny_model(head="token")
    for block in family_of(dense.config).ffn_blocks(dense):
        up, down = block.inputs[0].module, block.output.module
        for part in (up.weight.data, up.bias.data, down.weight.data.T):
            part[1::2] = part[::2]
        up.bias.data += 4.0  # alive, and large: damping pulls small ones towards 1
        down.weight.data *= 5
    selection = Selection(((0, 1, 2, 3),) * 2, (tuple(range(0, 64, 2)),) * 2)
    small = extract(dense, selection)
    batch = inputs_of(calibration.batches[0])
    tuned = copy.deepcopy(small)
    tune(dense, tuned, calibration.batches)
    for scale in _scales(small, tuned)[2:]:
        torch.testing.assert_close(scale, torch.full((32,), 2.0), rtol=1e-2, atol=1e-2)
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        wanted, before, after = (model(**batch).logits[real] for model in (dense, small, tuned))
    assert (after - wanted).abs().max() < 0.01 * (before - wanted).abs().max()


@every_family
def test_padding_does_not_count(tiny_model: TinyModel, calibration: Calibration, family: str) -> None:
    dense = tiny_model(family, "token")
    small = extract(dense, KwonPruner(dense, for_head("token", calibration)).select(uneven(dense)))
    apart = []
    for batch in calibration.batches:
        for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
            apart.append({name: tensor[row : row + 1, :length] for name, tensor in inputs_of(batch).items()})
    together, one_by_one = copy.deepcopy(small), copy.deepcopy(small)
    tune(dense, together, calibration.batches)
    tune(dense, one_by_one, apart)
    for a, b in zip(_scales(small, together), _scales(small, one_by_one), strict=True):
        torch.testing.assert_close(a, b, rtol=5e-3, atol=5e-3)


def test_tuning_ends_at_scales_out_of_bounds(tiny_model: TinyModel, calibration: Calibration) -> None:
    """The second attention block would need a factor of about 40; it and the FFN behind it stay as they are."""
    dense = tiny_model(head="token")
    small = extract(dense, _halved(dense))
    family_of(dense.config).attention_blocks(dense)[1].output.module.weight.data *= 40
    tuned = copy.deepcopy(small)
    tune(dense, tuned, calibration.batches)
    scales = _scales(small, tuned)
    assert (scales[2] - 1).abs().max() > 0.1
    for untouched in (scales[0], scales[1], scales[3]):
        torch.testing.assert_close(untouched, torch.ones_like(untouched))


def test_tuning_ends_at_scales_that_are_no_numbers(tiny_model: TinyModel, calibration: Calibration) -> None:
    dense = tiny_model()
    small = extract(dense, _halved(dense))
    dense.bert.encoder.layer[1].attention.self.value.bias.data[0] = float("nan")
    tuned = copy.deepcopy(small)
    tune(dense, tuned, calibration.batches)
    scales = _scales(small, tuned)
    assert (scales[2] - 1).abs().max() > 0.1
    assert weights_digest(tuned.bert.encoder.layer[1]) == weights_digest(small.bert.encoder.layer[1])


# --- the whole pruner -----------------------------------------------------------------------------------------------


@every_family
@pytest.mark.parametrize("head", ["sequence", "token"])
def test_the_dense_architecture_gives_the_dense_logits(
    tiny_model: TinyModel, calibration: Calibration, padded_batch: Tensors, family: str, head: str
) -> None:
    model = tiny_model(family, head)
    small = KwonPruner(model, for_head(head, calibration))(Architecture.dense(shape_of(model)))
    with torch.no_grad():
        assert torch.equal(small(**padded_batch).logits, model(**padded_batch).logits)


@every_family
def test_sub_networks_have_the_wanted_shape_whatever_is_empty(
    tiny_model: TinyModel, calibration: Calibration, padded_batch: Tensors, family: str
) -> None:
    model = tiny_model(family)
    pruner = KwonPruner(model, calibration)
    ffn = uneven(model).ffn
    for architecture in (
        uneven(model),
        Architecture((0, 4), (0, *ffn[1:])),
        Architecture((1, 0), (64, *ffn[1:-1], 0)),
        Architecture((0, 0), (0,) * len(ffn)),
        Architecture((1, 1), (1,) * len(ffn)),
    ):
        small = pruner(architecture)
        shape = shape_of(small)
        assert (shape.heads, shape.ffn) == (architecture.heads, architecture.ffn)
        with torch.no_grad():
            assert small(**padded_batch).logits.isfinite().all()
        assert not any(module.training for module in small.modules())


def test_a_single_example_is_enough(tiny_model: TinyModel, calibration: Calibration, padded_batch: Tensors) -> None:
    one = {name: tensor[:1] for name, tensor in calibration.batches[0].items()}
    small = KwonPruner(tiny_model(), Calibration(batches=[one], loss=cross_entropy, seed=0))(
        Architecture((2, 1), (20, 5))
    )
    with torch.no_grad():
        assert small(**padded_batch).logits.isfinite().all()


def _state(model: PreTrainedModel) -> tuple[object, ...]:
    return (
        weights_digest(model),
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad is None for parameter in model.parameters()],
        [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules()],
    )


@every_family
@pytest.mark.parametrize("share_weights", [False, True])
def test_the_dense_model_is_left_as_found(
    tiny_model: TinyModel, calibration: Calibration, padded_batch: Tensors, family: str, share_weights: bool
) -> None:
    model = tiny_model(family).train()
    model.classifier.eval()
    model.get_input_embeddings().requires_grad_(False)
    found = _state(model)
    small = KwonPruner(model, calibration)(uneven(model), share_weights=share_weights)
    assert _state(model) == found
    wanted = dict(model.named_parameters())
    assert all(p.requires_grad == wanted[name].requires_grad for name, p in small.named_parameters())
    other = KwonPruner(model, calibration)(uneven(model), share_weights=not share_weights)
    with torch.no_grad():
        assert torch.equal(small(**padded_batch).logits, other(**padded_batch).logits)


def test_the_models_are_left_as_found_by_a_batch_that_fails(tiny_model: TinyModel, calibration: Calibration) -> None:
    model = tiny_model().train()
    small = extract(model, _halved(model))
    found = _state(model), _state(small)
    broken = {"input_ids": torch.full((1, 3), 10**6), "attention_mask": torch.ones(1, 3).long()}
    with pytest.raises(IndexError):
        tune(model, small, [*calibration.batches, broken])
    assert (_state(model), _state(small)) == found


def test_pruning_again_is_possible(tiny_model: TinyModel, calibration: Calibration, padded_batch: Tensors) -> None:
    """A sub-network as dense model, also one with empty blocks."""
    model = extract(tiny_model(), Selection(((0, 1, 3), ()), ((), tuple(range(40)))))
    small = KwonPruner(model, calibration)(Architecture((2, 0), (0, 13)))
    assert shape_of(small).heads == (2, 0)
    with torch.no_grad():
        assert small(**padded_batch).logits.isfinite().all()


def test_calibration_without_rows_is_an_error(tiny_model: TinyModel) -> None:
    with pytest.raises(DataError, match=r"at least one labelled row, got none"):
        KwonPruner(tiny_model(), Calibration(batches=[], loss=cross_entropy, seed=0))


def test_an_architecture_that_does_not_fit_is_an_error(tiny_model: TinyModel, calibration: Calibration) -> None:
    pruner = KwonPruner(tiny_model(), calibration)
    with pytest.raises(ConfigError, match=r"heads\[1\] must be in 0\.\.4, got 5"):
        pruner(Architecture((1, 5), (1, 1)))


def test_progress_is_told_batch_by_batch(tiny_model: TinyModel, calibration: Calibration) -> None:
    class Watcher:
        def __init__(self) -> None:
            self.bars: list[tuple[str, float | None]] = []
            self.steps = 0.0

        def advance(self, steps: float = 1, note: str = "") -> None:
            self.steps += steps

        @contextmanager
        def bar(self, title: str, total: float | None) -> Iterator[Watcher]:
            self.bars.append((title, total))
            yield self

        def say(self, line: str) -> None:
            raise AssertionError(line)

    watcher = Watcher()
    KwonPruner(tiny_model(), calibration, watcher)
    assert (watcher.bars, watcher.steps) == ([("importance", 2)], 2)

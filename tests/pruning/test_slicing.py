from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import ConfigError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, family_of
from aebert.pruning import slicing
from aebert.pruning.architecture import Architecture
from aebert.pruning.slicing import Selection, extract, masked
from aebert.pruning.subnetwork import load_subnetwork

TinyModel = Callable[..., PreTrainedModel]
Tensors = dict[str, torch.Tensor]
every_family = pytest.mark.parametrize("family", list(FAMILIES))
both_heads = pytest.mark.parametrize("head", ["sequence", "token"])

ALL_HEADS, ALL_NEURONS = tuple(range(4)), tuple(range(64))
HEADS = {"uneven": ((0, 2, 3), (1,)), "empty": ((), (0, 2, 3)), "nothing": ((), ()), "dense": (ALL_HEADS, ALL_HEADS)}
FFN: dict[str, tuple[tuple[int, ...], ...]] = {
    "uneven": ((1, 8, 9, 40, 63), tuple(range(0, 64, 3)), (5,)),
    "empty": (ALL_NEURONS, (), (7, 8)),
    "nothing": ((),),
    "dense": (ALL_NEURONS,),
}
every_cut = pytest.mark.parametrize("cut", ["uneven", "empty", "nothing"])


def selection(model: PreTrainedModel, cut: str) -> Selection:
    widths = FFN[cut]
    return Selection(HEADS[cut], tuple(widths[block % len(widths)] for block in range(len(shape_of(model).ffn))))


def logits(model: PreTrainedModel, batch: Tensors) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(**batch).logits
    return result


def without_columns(model: PreTrainedModel, keep: Selection) -> PreTrainedModel:
    """A copy in which removed units have no outgoing weights: what pruning means, done by hand."""
    model = copy.deepcopy(model)
    family = family_of(model.config)
    size = family.head_size(model.config)
    for block, kept in zip(family.attention_blocks(model), keep.heads, strict=True):
        for head in set(ALL_HEADS) - set(kept):
            block.output.module.weight.data[:, head * size : (head + 1) * size] = 0.0
    for block, kept in zip(family.ffn_blocks(model), keep.ffn, strict=True):
        block.output.module.weight.data[:, sorted(set(ALL_NEURONS) - set(kept))] = 0.0
    return model


def assert_masked_equals_extracted(model: PreTrainedModel, keep: Selection, batch: Tensors) -> None:
    with masked(model, keep):
        expected = logits(model, batch)
    torch.testing.assert_close(logits(extract(model, keep), batch), expected, rtol=1e-4, atol=1e-5)


@every_family
@both_heads
@every_cut
def test_masked_equals_extracted(
    tiny_model: TinyModel, padded_batch: Tensors, family: str, head: str, cut: str
) -> None:
    model = tiny_model(family, head)
    keep = selection(model, cut)
    assert_masked_equals_extracted(model, keep, padded_batch)
    by_hand = logits(without_columns(model, keep), padded_batch)
    torch.testing.assert_close(logits(extract(model, keep), padded_batch), by_hand, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(by_hand, logits(model, padded_batch), atol=1e-3)


@every_family
def test_the_comparison_fails_when_masks_do_nothing(
    tiny_model: TinyModel, padded_batch: Tensors, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicing, "_multiply", lambda mask: lambda module, inputs: None)
    model = tiny_model(family)
    with pytest.raises(AssertionError, match="not close"):
        assert_masked_equals_extracted(model, selection(model, "uneven"), padded_batch)


@every_family
def test_eager_attention_gives_the_same(tiny_model: TinyModel, padded_batch: Tensors, family: str) -> None:
    model = tiny_model(family)
    model.set_attn_implementation("eager")
    assert extract(model, selection(model, "empty")).config._attn_implementation == "eager"
    assert_masked_equals_extracted(model, selection(model, "empty"), padded_batch)


@every_family
@both_heads
def test_keeping_everything_changes_no_bit(
    tiny_model: TinyModel, padded_batch: Tensors, family: str, head: str
) -> None:
    model = tiny_model(family, head)
    small = extract(model, selection(model, "dense"))
    assert torch.equal(logits(small, padded_batch), logits(model, padded_batch))


@every_family
@both_heads
@every_cut
def test_saved_equals_reloaded(
    tiny_model: TinyModel, padded_batch: Tensors, family: str, head: str, cut: str, tmp_path: Path
) -> None:
    model = tiny_model(family, head)
    small = extract(model, selection(model, cut))
    small.save_pretrained(tmp_path)
    again = load_subnetwork(tmp_path)
    assert torch.equal(logits(again, padded_batch), logits(small, padded_batch))
    assert type(again) is type(small)


@every_family
@both_heads
def test_padding_changes_nothing(tiny_model: TinyModel, padded_batch: Tensors, family: str, head: str) -> None:
    model = tiny_model(family, head)
    small = extract(model, selection(model, "uneven"))
    alone = logits(small, {name: tensor[2:, :3] for name, tensor in padded_batch.items()})
    together = logits(small, padded_batch)[2:]
    expected = together[:, :3] if head == "token" else together
    torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-5)


@every_family
def test_the_dense_model_stays_as_it_was(tiny_model: TinyModel, padded_batch: Tensors, family: str) -> None:
    model = tiny_model(family).train()
    before, kind, values = weights_digest(model), type(model), model.config.to_dict()
    small = extract(model, selection(model, "empty"))
    with torch.no_grad():
        for parameter in small.parameters():
            parameter += 1.0
    assert weights_digest(model) == before
    assert (type(model), model.config.to_dict(), model.training) == (kind, values, True)
    assert not small.training


@every_family
@pytest.mark.parametrize("share", [True, False])
def test_weights_are_shared_on_request(tiny_model: TinyModel, padded_batch: Tensors, family: str, share: bool) -> None:
    model = tiny_model(family)
    keep = selection(model, "uneven")
    small = extract(model, keep, share_weights=share)
    mine = dict(small.named_parameters())
    shared = {name for name, tensor in model.named_parameters() if mine[name].data_ptr() == tensor.data_ptr()}
    same_shape = {name for name, tensor in model.named_parameters() if mine[name].shape == tensor.shape}
    biases = {name for name in same_shape if _is_sliced(model, name)}
    assert shared == (same_shape - biases if share else set())
    assert "classifier.bias" in same_shape - biases or "classifier.out_proj.bias" in same_shape - biases
    torch.testing.assert_close(logits(small, padded_batch), logits(extract(model, keep), padded_batch))


def _is_sliced(model: PreTrainedModel, parameter: str) -> bool:
    """Whether it belongs to a projection of a block, which is rebuilt."""
    family = family_of(model.config)
    blocks = [*family.attention_blocks(model), *family.ffn_blocks(model)]
    modules = {id(place.module) for block in blocks for place in (*block.inputs, block.output)}
    return id(model.get_submodule(parameter.rpartition(".")[0])) in modules


@every_family
def test_cutting_twice_is_cutting_once(tiny_model: TinyModel, padded_batch: Tensors, family: str) -> None:
    model = tiny_model(family)
    blocks = range(len(shape_of(model).ffn))
    first = Selection(((0, 2, 3), ()), tuple(((1, 8, 9, 40), ())[block % 2] for block in blocks))
    then = Selection(((1, 2), ()), tuple(((0, 3), ())[block % 2] for block in blocks))
    once = Selection(((2, 3), ()), tuple(((1, 40), ())[block % 2] for block in blocks))
    small = extract(model, first)
    assert_masked_equals_extracted(small, then, padded_batch)
    twice = extract(small, then)
    assert torch.equal(logits(twice, padded_batch), logits(extract(model, once), padded_batch))
    assert twice.config.aebert_heads == [2, 0]
    assert shape_of(twice) == shape_of(extract(model, once))


def test_masks_are_gone_after_the_block_even_when_it_fails(tiny_model: TinyModel, padded_batch: Tensors) -> None:
    model = tiny_model()
    before = logits(model, padded_batch)
    with pytest.raises(ZeroDivisionError), masked(model, selection(model, "nothing")):
        raise ZeroDivisionError
    assert torch.equal(logits(model, padded_batch), before)


def test_masks_are_gone_when_they_could_not_be_set(tiny_model: TinyModel, padded_batch: Tensors) -> None:
    model = tiny_model()
    before = logits(model, padded_batch)
    with pytest.raises(ConfigError), masked(model, Selection(((), ()), ((), (64,)))):
        pytest.fail("not reached")
    assert torch.equal(logits(model, padded_batch), before)


def test_a_selection_says_its_architecture() -> None:
    assert Selection(((0, 3), ()), ((5,), (1, 2, 3))).architecture == Architecture((2, 0), (1, 3))


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (((0,),), r"heads must have 2 blocks as the model has, got 1"),
        (((0,), (4,)), r"heads\[1\] must be different units of 0\.\.3, ascending, got \(4,\)"),
        (((0,), (-1, 2)), r"heads\[1\] must be different units"),
        (((1, 0), (0,)), r"heads\[0\] must be different units .* got \(1, 0\)"),
        (((1, 1), (0,)), r"heads\[0\] must be different units .* got \(1, 1\)"),
    ],
)
def test_a_selection_must_fit_the_model(
    tiny_model: TinyModel, heads: tuple[tuple[int, ...], ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        extract(tiny_model(), Selection(heads, ((0,), (0,))))

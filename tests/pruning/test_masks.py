from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import ModelError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, family_of
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost, macs_removed, sparsity
from aebert.pruning.masks import MagnitudeMasks, check_kept, kept_weights, matrix_shape, weight_importance, zeros_held
from aebert.pruning.subnetwork import load_subnetwork

TinyModel = Callable[..., PreTrainedModel]
every_family = pytest.mark.parametrize("family", list(FAMILIES))


def _matrices(model: PreTrainedModel) -> list[torch.Tensor]:
    family = family_of(model.config)
    blocks = [*family.attention_blocks(model), *family.ffn_blocks(model)]
    return [place.module.weight for block in blocks for place in (*block.inputs, block.output)]


def _uneven(model: PreTrainedModel) -> Architecture:
    """Another share of every matrix, none and all among them."""
    shape = matrix_shape(model)
    shares = (0.0, 1.0, 0.3, 0.77, 0.5)
    counts = [int(full * shares[block % 5]) for block, full in enumerate((*shape.heads, *shape.ffn))]
    return Architecture(tuple(counts[: len(shape.heads)]), tuple(counts[len(shape.heads) :]))


@every_family
def test_a_block_is_a_matrix_and_a_unit_is_a_weight(tiny_model: TinyModel, family: str) -> None:
    model = tiny_model(family)
    shape, sizes = matrix_shape(model), [matrix.numel() for matrix in _matrices(model)]
    assert [*shape.heads, *shape.ffn] == sizes
    assert shape.layers == shape_of(model).layers == 2
    assert len(shape.block_names) == len(set(shape.block_names)) == len(shape.block_layers) == len(sizes)
    assert set(shape.block_layers) == {0, 1}
    assert shape.block_names[2:5] == ("attention.0.2", "attention.0.3", "attention.1.0")
    of_names = [int(name.split(".")[1]) for name in shape.block_names]
    assert tuple(of_names) == shape.block_layers


def test_zeros_cost_as_much_as_what_was_there(tiny_model: TinyModel) -> None:
    model = tiny_model()
    shape, physical, uneven = matrix_shape(model), shape_of(model), _uneven(model)
    assert cost(uneven, shape, 16) == cost(Architecture.dense(physical), physical, 16)
    assert macs_removed(uneven, shape, 16) == 0.0
    total = sum(matrix.numel() for matrix in _matrices(model))
    assert sparsity(uneven, shape) == pytest.approx(1 - (sum(uneven.heads) + sum(uneven.ffn)) / total)
    assert sparsity(Architecture.dense(shape), shape) == 0.0


@every_family
@pytest.mark.parametrize("share_weights", [False, True])
def test_the_smallest_weights_of_each_matrix_are_zero_and_nothing_else_changes(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], family: str, share_weights: bool
) -> None:
    dense = tiny_model(family)
    before, wanted = weights_digest(dense), _uneven(dense)
    small = MagnitudeMasks(dense)(wanted, share_weights=share_weights)
    assert weights_digest(dense) == before
    assert kept_weights(small) == wanted
    for mine, full, kept in zip(_matrices(small), _matrices(dense), (*wanted.heads, *wanted.ffn), strict=True):
        gone = mine == 0
        assert torch.equal(mine[~gone], full[~gone])
        if 0 < kept < full.numel():
            assert full[gone].abs().max() <= full[~gone].abs().min()
    names = {id(full): name for name, full in dense.named_parameters()}
    cut = {names[id(full)] for full, kept in _with_counts(dense, wanted) if kept < full.numel()}
    stored = dense.state_dict()
    assert {name for name, value in small.state_dict().items() if not torch.equal(value, stored[name])} == cut
    everything = MagnitudeMasks(dense)(Architecture.dense(matrix_shape(dense)))
    with torch.no_grad():
        assert torch.equal(everything(**padded_batch).logits, dense(**padded_batch).logits)


def _with_counts(model: PreTrainedModel, architecture: Architecture) -> list[tuple[torch.Tensor, int]]:
    return list(zip(_matrices(model), (*architecture.heads, *architecture.ffn), strict=True))


def test_zeros_of_the_dense_model_are_not_taken_for_weights_that_were_kept(tiny_model: TinyModel) -> None:
    dense = tiny_model()
    with torch.no_grad():
        _matrices(dense)[2][0, :20] = 0.0
    shape = matrix_shape(dense)
    whole = Architecture.dense(shape)
    less = Architecture((*whole.heads[:2], whole.heads[2] - 20, *whole.heads[3:]), whole.ffn)
    assert kept_weights(MagnitudeMasks(dense)(less)) == less
    with pytest.raises(ModelError, match=r"exactly 1,024 weights of matrix attention\.0\.2 .* it has 1,004;"):
        MagnitudeMasks(dense)(whole)


@pytest.mark.parametrize("family", ["bert", "mobilebert"])
def test_zeros_stay_zero_while_everything_else_learns(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], family: str, tmp_path: Path
) -> None:
    dense = tiny_model(family)
    wanted = _uneven(dense)
    small = MagnitudeMasks(dense)(wanted)
    first = [matrix.detach().clone() for matrix in _matrices(small)]
    with zeros_held(small):
        _train(small, padded_batch)
    for matrix, start in zip(_matrices(small), first, strict=True):
        assert torch.equal(matrix == 0, start == 0)
        kept = start != 0
        assert (matrix[kept] != start[kept]).float().mean() > 0.9 or not kept.any()
    small.save_pretrained(tmp_path)
    assert kept_weights(load_subnetwork(tmp_path)) == wanted
    check_kept(small, wanted, "it")
    _train(small, padded_batch)  # no longer held
    with pytest.raises(ModelError, match="it must keep exactly 0 weights of matrix attention"):
        check_kept(small, wanted, "it")


def _train(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch, labels=torch.tensor([0, 1, 2])).loss.backward()
        optimizer.step()


def test_importance_is_the_magnitude_of_every_weight(tiny_model: TinyModel) -> None:
    model = tiny_model()
    found = weight_importance(model)
    for scores, matrix in zip((*found.heads, *found.ffn), _matrices(model), strict=True):
        assert scores.tolist() == matrix.abs().flatten().tolist()

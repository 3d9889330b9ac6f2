from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, PreTrainedModel

from aebert.models.embedding import embedding_class, pool, reads_first_token, set_pooling
from aebert.models.families import FAMILIES
from aebert.models.pooling import Pooling, pooling_of_config
from aebert.pruning.slicing import Selection, extract, masked
from aebert.pruning.subnetwork import load_subnetwork

Make = Callable[..., PreTrainedModel]

STATES = torch.tensor([[[1.0, 2.0], [3.0, -4.0], [9.0, 9.0]], [[3.0, 4.0], [7.0, 7.0], [8.0, 8.0]]])
MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("mean", [[2.0, -1.0], [3.0, 4.0]]),
        ("cls", [[1.0, 2.0], [3.0, 4.0]]),
        ("max", [[3.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_pooling_by_hand(mode: str, expected: list[list[float]]) -> None:
    assert pool(STATES, MASK, mode, False).tolist() == expected
    unit = pool(STATES, MASK, mode, True)
    assert unit[1].tolist() == pytest.approx([0.6, 0.8])
    assert unit.norm(dim=1).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_no_mask_is_a_mask_of_ones(mode: str) -> None:
    ones = torch.ones(2, 3, dtype=torch.long)
    assert torch.equal(pool(STATES, None, mode, True), pool(STATES, ones, mode, True))


@pytest.fixture
def encoder(tiny_model: Make) -> Make:
    """`encoder(family, mode, normalize)`: a random embedding model in eval mode."""

    def make(family: str = "bert", mode: Any = "mean", normalize: bool = True) -> PreTrainedModel:
        classifier = tiny_model(family)
        config = classifier.config
        set_pooling(config, Pooling(mode, normalize, "test"))
        model = embedding_class(family)(config)
        wanted = {name: tensor for name, tensor in classifier.state_dict().items() if name in model.state_dict()}
        model.load_state_dict(wanted)
        return model.eval()

    return make


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_embeddings_are_pooled_states_of_the_encoder(
    family: str, mode: str, encoder: Make, padded_batch: dict[str, torch.Tensor]
) -> None:
    model = encoder(family, mode)
    with torch.no_grad():
        found = model(**padded_batch)
        states = model.base_model(**padded_batch).last_hidden_state
        alone = model(**{name: tensor[1:2, :7] for name, tensor in padded_batch.items()}).logits
    assert torch.equal(found.last_hidden_state, states)
    real = padded_batch["attention_mask"].bool()
    by_hand = {"mean": states[1][real[1]].mean(0), "cls": states[1, 0], "max": states[1][real[1]].amax(0)}[mode]
    torch.testing.assert_close(found.logits[1], by_hand / by_hand.norm())
    torch.testing.assert_close(found.logits[1:2], alone)  # padding changes nothing
    assert reads_first_token(model) == (mode == "cls")


@pytest.mark.parametrize("family", list(FAMILIES))
def test_masked_sliced_and_reloaded_give_the_same(
    family: str, encoder: Make, padded_batch: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    model = encoder(family)
    each = len(FAMILIES[family].ffn_blocks(model)) // 2
    kept = Selection(((0, 2), (1,)), (*((0, 5, 9),) * each, *(tuple(range(40)),) * each))
    small = extract(model, kept)
    with torch.no_grad():
        with masked(model, kept):
            expected = model(**padded_batch).logits
        found = small(**padded_batch).logits
        whole = model(**padded_batch).logits
    torch.testing.assert_close(found, expected)
    assert (whole - expected).abs().max() > 1e-3
    small.save_pretrained(tmp_path)
    again = load_subnetwork(tmp_path)
    assert type(again).__name__ == type(small).__name__
    assert pooling_of_config(again.config) == pooling_of_config(model.config)
    with torch.no_grad():
        assert torch.equal(again(**padded_batch).logits, found)
        assert torch.equal(AutoModel.from_pretrained(tmp_path)(**padded_batch).logits, found)

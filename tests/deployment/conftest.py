from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification, PreTrainedModel

from aebert.deployment.onnx_export import export_onnx
from aebert.pruning.slicing import Selection, extract

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


@dataclass(frozen=True)
class Exported:
    """A sub-network, its file, and what the export left of its modes and attention."""

    model: PreTrainedModel
    path: Path
    modes_before: list[bool]
    modes_after: list[bool]
    attention_after: str


def randomize(model: PreTrainedModel) -> PreTrainedModel:
    """Random norms and biases too: zeros and ones would hide a lost bias or norm."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return model


@pytest.fixture(scope="session")
def randomized() -> Callable[[PreTrainedModel], PreTrainedModel]:
    return randomize


@pytest.fixture(scope="session")
def uneven() -> PreTrainedModel:
    """Layer 0 keeps 3 of 4 heads and 5 of 64 neurons; layer 1 keeps neither heads nor neurons."""
    config = BertConfig(
        vocab_size=99,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=5,
        max_position_embeddings=64,
    )
    dense = randomize(BertForTokenClassification(config))
    return extract(dense, Selection(heads=((0, 2, 3), ()), ffn=((1, 8, 9, 40, 63), ())))


@pytest.fixture(scope="session")
def exported(uneven: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One export for all fast tests, of a model that is partly in train mode."""
    uneven.train()
    uneven.classifier.eval()
    before = [module.training for module in uneven.modules()]
    path = export_onnx(uneven, INPUTS, tmp_path_factory.mktemp("deep") / "new" / "model.onnx", opset=18)
    after = [module.training for module in uneven.modules()]
    return Exported(uneven, path, before, after, str(uneven.config._attn_implementation))


@dataclass(frozen=True)
class Toy:
    """A classifier of two labels with all its units, and its file."""

    model: PreTrainedModel
    path: Path


@pytest.fixture(scope="session")
def toy(
    tiny_model: Callable[..., PreTrainedModel],
    export_once: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Toy:
    """One export for all fast tests, as exports are what takes their time."""
    model = tiny_model("bert", labels=2)
    return Toy(model, export_once(model, INPUTS, tmp_path_factory.mktemp("toy") / "toy.onnx", opset=20))


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Rows of 12, 7 and 3 tokens, padded with 0."""
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(12) < torch.tensor([[12], [7], [3]])).long()
    return {
        "input_ids": torch.randint(3, 99, (3, 12), generator=generator) * mask,
        "token_type_ids": torch.randint(0, 2, (3, 12), generator=generator) * mask,
        "attention_mask": mask,
        "labels": torch.zeros((3, 12), dtype=torch.long),
    }

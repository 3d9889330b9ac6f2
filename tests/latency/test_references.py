from __future__ import annotations

import torch
from transformers import BertConfig, BertForSequenceClassification

from aebert.latency.references import REFERENCE_SHAPES
from aebert.models.counting import shape_of


def test_bert_base_is_the_shape_of_transformers_own_model() -> None:
    with torch.device("meta"):
        assert REFERENCE_SHAPES["bert-base"] == shape_of(BertForSequenceClassification(BertConfig()))


def test_whispers_encoders_have_the_sizes_of_its_paper() -> None:
    # table 1 of arXiv:2212.04356: layers, width, heads of tiny, base, small and medium
    names = ("tiny", "base", "small", "medium")
    shapes = [REFERENCE_SHAPES[f"whisper-{name}-encoder"] for name in names]
    assert [(shape.layers, shape.hidden, shape.heads[0]) for shape in shapes] == [
        (4, 384, 6),
        (6, 512, 8),
        (12, 768, 12),
        (24, 1024, 16),
    ]
    assert all(shape.ffn[0] == 4 * shape.hidden for shape in shapes)

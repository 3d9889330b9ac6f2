"""BERTs with random weights, in the shapes of well-known ones, and random rows for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from aebert.models.counting import shape_of
from aebert.models.evaluation import Prepared
from aebert.models.shape import ModelShape
from aebert.search.space import Grid, load_space, make_grid
from aebert.tasks.encoding import Batch
from aebert.tasks.task import Row, TaskSpec

LENGTH = 32
SPEC = TaskSpec("random", "classification", ("text",), "label", ("no", "yes"), "accuracy", "accuracy")


@dataclass(frozen=True)
class Shape:
    """measured: layers whose library is built, on how many calibration rows."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    measured: tuple[int, int]
    vocabulary: int = 30522

    def config(self, layers: int | None = None) -> BertConfig:
        """A BERT of this shape, or with fewer layers."""
        return BertConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            num_hidden_layers=layers or self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.ffn,
        )

    def model(self, layers: int | None = None) -> PreTrainedModel:
        """With random weights, in eval mode."""
        torch.manual_seed(0)
        model: PreTrainedModel = BertForSequenceClassification(self.config(layers)).eval()
        return model

    @property
    def counted(self) -> ModelShape:
        """What it costs, counted on a model without memory."""
        with torch.device("meta"):
            return shape_of(BertForSequenceClassification(self.config()))

    @property
    def grid(self) -> Grid:
        """The default search space on it."""
        return make_grid(load_space("default"), self.counted)


SHAPES = {
    "minilm-l6": Shape(384, 6, 12, 1536, measured=(6, 1024)),
    "bert-base": Shape(768, 12, 12, 3072, measured=(12, 1024)),
    "bert-large": Shape(1024, 24, 16, 4096, measured=(2, 128)),
    "toy": Shape(32, 2, 4, 64, measured=(1, 8), vocabulary=100),
}


def random_rows(shape: Shape, rows: int) -> Prepared:
    """Rows of random words, all of `LENGTH` tokens, in batches of up to 4,096 tokens."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, shape.vocabulary, (rows, LENGTH), generator=generator)
    encoded = [{"input_ids": one, "attention_mask": [1] * LENGTH, "labels": place % 2} for place, one in enumerate(ids)]
    size = 4096 // LENGTH
    parts = [tuple(range(start, min(start + size, rows))) for start in range(0, rows, size)]
    batches = [
        Batch(
            part,
            {
                "input_ids": ids[list(part)],
                "attention_mask": torch.ones(len(part), LENGTH, dtype=torch.long),
                "labels": torch.tensor([index % 2 for index in part]),
            },
        )
        for part in parts
    ]
    return Prepared(SPEC, [Row(("",), place % 2) for place in range(rows)], encoded, batches)

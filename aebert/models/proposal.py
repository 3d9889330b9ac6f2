"""Names for the outputs of a checkpoint that doesn't name them, as far as labelled rows prove them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aebert.config import ModelConfig
from aebert.models.checkpoint import load_checkpoint
from aebert.models.evaluation import evaluate, prepare
from aebert.models.sanity import propose_names
from aebert.tasks.task import Row, TaskSpec

ROWS = 512
"""Most rows that a proposal reads."""

_BATCH_TOKENS = 4096


def propose_labels(
    config: ModelConfig, spec: TaskSpec, rows: Sequence[Row], seed: int, max_length: int
) -> tuple[str, ...] | None:
    """The value of `model.labels` that makes a checkpoint right on labelled rows, if they leave no doubt of it.

    It is for a checkpoint that `load_checkpoint` refuses with `UnnamedOutputs`. Whether to use it is the user's choice.
    """
    chosen = np.random.default_rng(seed).permutation(len(rows))[:ROWS]
    unordered = config.model_copy(update={"labels": spec.output_names})
    checkpoint = load_checkpoint(unordered, spec, seed, max_length=max_length)
    some = [rows[index] for index in sorted(chosen)]
    prepared = prepare(some, spec, checkpoint.tokenizer, max_length, _BATCH_TOKENS)
    return propose_names(spec, prepared.encoded, evaluate(checkpoint.model, prepared).logits)

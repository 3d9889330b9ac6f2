"""Rows as requests to a file, and a file as something that turns rows into logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedTokenizerBase

from aebert.deployment.opening import ExportedModel
from aebert.deployment.session import Feed
from aebert.run.run import Run
from aebert.tasks.encoding import collate
from aebert.tasks.task import Row


def file_forward(model: ExportedModel) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
    """A file as something that turns a batch into logits."""
    return lambda batch: torch.from_numpy(model.logits({name: tensor.numpy() for name, tensor in batch.items()}))


def requests_of(
    run: Run, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], batch_size: int, length: int | None = None
) -> list[Feed]:
    """Rows as they would arrive: in file order, in batches, at their own lengths, without labels.

    Texts to embed arrive alone, whether the rows are pairs or not.

    length: most tokens of a row; by default as in training.
    """
    if run.task.spec.kind == "embedding":
        rows = [replace(row, text=(text,), targets=None) for row in rows for text in row.text]
    parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    prepared = [run.encoded(part, tokenizer, 10**9, length) for part in parts]
    batches = [collate(one.windows, tokenizer) for one in prepared]
    return [{name: tensor.numpy() for name, tensor in batch.items() if name != "labels"} for batch in batches]

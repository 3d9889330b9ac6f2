"""Losses of fine-tuning and distillation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from aebert.tasks.task import TaskSpec


def task_loss(spec: TaskSpec, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean over rows of cross entropy (for NER, over labelled words), or of squared error for regression."""
    if spec.kind == "regression":
        return functional.mse_loss(logits.squeeze(-1), labels)
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100)


def logits_loss(
    spec: TaskSpec, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float
) -> torch.Tensor:
    """KL divergence from the teacher's softened outputs, times temperature²; squared error for regression.

    For NER it is the mean over labelled words, since the teacher was never trained on other sub-words.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    if spec.kind == "regression":
        return functional.mse_loss(student, teacher)
    if spec.kind == "ner":
        student, teacher = student[labels != -100], teacher[labels != -100]
    log_student = functional.log_softmax(student / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=-1)
    return functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


def hidden_loss(
    student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor], attention_mask: torch.Tensor
) -> torch.Tensor:
    """Mean squared error between the hidden states [batch, seq, hidden] after every layer, over real tokens.

    Source: layer-wise hidden-state distillation of TinyBERT, arXiv:1909.10351, equation 8; no projection is needed,
    since a sub-network keeps the dense model's hidden size and number of layers.
    """
    real = attention_mask.bool()
    # the first state is the output of the embeddings, which is the same in both when fine-tuning starts
    pairs = list(zip(student, teacher, strict=True))[1:]
    return torch.stack([functional.mse_loss(mine[real], theirs[real]) for mine, theirs in pairs]).mean()

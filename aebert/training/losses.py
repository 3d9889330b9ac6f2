"""Losses of fine-tuning and distillation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from aebert.tasks.task import TaskSpec


def task_loss(spec: TaskSpec, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean over rows of cross entropy (for NER, over labelled words), or of squared error for regression.

    Embeddings have none: what they should be is the teacher's.
    """
    if spec.kind == "regression":
        return functional.mse_loss(logits.squeeze(-1), labels)
    return functional.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100)


def logits_loss(
    spec: TaskSpec, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, temperature: float
) -> torch.Tensor:
    """KL divergence from the teacher's softened outputs, times temperature²; squared error for regression.

    For embeddings it is the mean cosine distance, half of the squared distance of vectors of length 1.
    For NER it is the mean over labelled words, since the teacher was never trained on other sub-words.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2.
    """
    if spec.kind == "regression":
        return functional.mse_loss(student, teacher)
    if spec.kind == "embedding":
        return (1 - functional.cosine_similarity(student, teacher, dim=-1)).mean()
    if spec.kind == "ner":
        student, teacher = student[labels != -100], teacher[labels != -100]
    log_student = functional.log_softmax(student / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher / temperature, dim=-1)
    return functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


def hidden_loss(
    student: Sequence[torch.Tensor], teacher: Sequence[torch.Tensor], attention_mask: torch.Tensor
) -> torch.Tensor:
    """Mean squared error between the hidden states [batch, seq, hidden] after every layer, over real tokens.

    A sub-network has the teacher's layers, and each learns from its own. A student of fewer layers learns from those
    that `teacher_layers` names.
    Source: layer-wise hidden-state distillation of TinyBERT, arXiv:1909.10351, equation 8; no projection is needed,
    since students keep the dense model's hidden size.
    """
    real = attention_mask.bool()
    # the first state is the output of the embeddings, which is the same in both when fine-tuning starts
    mine = list(student)[1:]
    theirs = [teacher[layer] for layer in teacher_layers(len(mine), len(teacher) - 1)]
    pairs = zip(mine, theirs, strict=True)
    return torch.stack([functional.mse_loss(one[real], other[real]) for one, other in pairs]).mean()


def teacher_layers(student: int, teacher: int) -> list[int]:
    """The teacher's layer, counted from 1, that each layer of a student of `student` ≤ `teacher` layers learns from.

    Layer i of k learns from layer i · L / k of L, rounded to the nearest (halves up), so that the last learns from the
    last. Source: the uniform mapping g(m) of TinyBERT, arXiv:1909.10351, where layer i of 4 learns from layer 3 i of
    12; DistilBERT, arXiv:1910.01108, takes one layer out of two in the same way.
    """
    if not 1 <= student <= teacher:
        raise ValueError(f"a student must have 1 to {teacher} layers as its teacher has, got {student}")
    return [(2 * layer * teacher + student) // (2 * student) for layer in range(1, student + 1)]

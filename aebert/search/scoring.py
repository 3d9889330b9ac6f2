"""Scoring candidates without fine-tuning: cut the dense model, run the search rows."""

from __future__ import annotations

from transformers import PreTrainedModel

from aebert.models.evaluation import Evaluation, Prepared, evaluate
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Importance, select
from aebert.pruning.slicing import extract


class SubnetworkScorer:
    """Callable from an architecture to its evaluation on the search rows.

    The physically smaller model is scored, not a masked one: its logits are the same and it costs less. It shares its
    embeddings and norms with the dense model, which is left as it is.
    """

    def __init__(self, dense: PreTrainedModel, importance: Importance, rows: Prepared) -> None:
        self._dense, self._importance, self._rows = dense, importance, rows

    def __call__(self, architecture: Architecture) -> Evaluation:
        """Evaluate a candidate."""
        small = extract(self._dense, select(self._importance, architecture), share_weights=True)
        return evaluate(small, self._rows)

"""Ways to score a candidate without training, the published one and ours, and what they compute."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.models.evaluation import Prepared, evaluate
from aebert.models.families import family_of
from aebert.models.int8 import Int8Weights
from aebert.pruning.architecture import Architecture
from aebert.pruning.criteria import Importance, select
from aebert.pruning.pruners import CriterionPruner, Pruner
from aebert.pruning.slicing import Selection, masked
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.racing import RaceRows, race_rows
from aebert.search.scoring import Scored, ScoringPrecision, SubnetworkScorer
from aebert.tasks.encoding import Batch, collate, encode
from aebert.tasks.task import EncodedRow, Row, TaskSpec

BATCH = 32
PADDED_TO = 128
FILLS = {"labels": -100}


@dataclass(frozen=True)
class Setting:
    """What candidates are scored with.

    importance: says which units the naive way and masks leave out. doubt [rows]: of the dense model, for races.
    """

    dense: PreTrainedModel
    pruner: Pruner
    importance: Importance
    tokenizer: PreTrainedTokenizerBase
    spec: TaskSpec
    rows: Sequence[Row]
    max_length: int
    max_tokens: int
    seed: int
    doubt: np.ndarray

    def race_rows(self, looks: Sequence[float]) -> RaceRows:
        """The rows as our scorer takes them."""
        return race_rows(
            self.rows,
            self.spec,
            self.tokenizer,
            self.max_length,
            self.max_tokens,
            self.seed,
            doubt=self.doubt if looks else None,
            looks=looks,
        )

    def in_batches(self, order: Sequence[int], encoded: Sequence[EncodedRow], padded_to: int = 0) -> Prepared:
        """The rows in batches of 32 in this order, padded to the batch's longest row or further."""
        parts = [tuple(order[start : start + BATCH]) for start in range(0, len(order), BATCH)]
        batches = [Batch(part, self._padded([encoded[index] for index in part], padded_to)) for part in parts]
        return Prepared(self.spec, self.rows, encoded, batches)

    def _padded(self, rows: Sequence[EncodedRow], length: int) -> dict[str, torch.Tensor]:
        fills = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id, **FILLS}
        return {
            name: functional.pad(one, (0, max(0, length - one.shape[1])), value=fills.get(name, 0))
            if one.dim() == 2
            else one
            for name, one in collate(rows, self.tokenizer).items()
        }


@dataclass(frozen=True)
class Result:
    """metric and loss of a candidate; seen: rows that it was scored on."""

    metric: float
    loss: float
    seen: int


Way = Callable[[Architecture], Result]


# --- the ways ---------------------------------------------------------------------------------------------------------


def naive(setting: Setting) -> tuple[Way, Prepared]:
    """The published way, and the batches that it runs."""
    encoded = encode(setting.rows, setting.spec, setting.tokenizer, setting.max_length)
    prepared = setting.in_batches(range(len(encoded)), encoded, PADDED_TO)

    def score(architecture: Architecture) -> Result:
        model = copy.deepcopy(setting.dense)
        zero_weights(model, select(setting.importance, architecture))
        return _evaluated(setting, model, prepared)

    return score, prepared


def zero_weights(model: PreTrainedModel, selection: Selection) -> None:
    """Zero the output projection's weights of the units that are not selected."""
    kept = (*selection.heads, *selection.ffn)
    for (block, size), units in zip(family_of(model.config).blocks(model), kept, strict=True):
        weight = block.output.module.weight
        mask = torch.zeros(weight.shape[1] // size)
        mask[list(units)] = 1.0
        weight.data *= mask.repeat_interleave(size)


def masks(setting: Setting) -> tuple[Way, Prepared]:
    """Masks with dynamic padding, and the batches that it runs."""
    encoded = encode(setting.rows, setting.spec, setting.tokenizer, setting.max_length)
    order = sorted(range(len(encoded)), key=lambda index: -len(encoded[index]["input_ids"]))
    prepared = setting.in_batches(order, encoded)

    def score(architecture: Architecture) -> Result:
        with masked(setting.dense, select(setting.importance, architecture)) as model:
            return _evaluated(setting, model, prepared)

    return score, prepared


def _evaluated(setting: Setting, model: PreTrainedModel, prepared: Prepared) -> Result:
    found = evaluate(model, prepared)
    return Result(found.metrics[setting.spec.headline], found.loss, len(setting.rows))


def ours(
    setting: Setting,
    pruner: Pruner,
    rows: RaceRows,
    rival: Outcomes | None = None,
    precision: ScoringPrecision = "float32",
    int8: Int8Weights | None = None,
) -> tuple[Way, SubnetworkScorer]:
    """Our scorer; with a rival it races."""
    scorer = SubnetworkScorer(setting.dense, pruner, rows, Judge(setting.spec), precision=precision, int8=int8)

    def score(architecture: Architecture) -> Result:
        scored = scorer(architecture, rival)
        return Result(scored.metrics[setting.spec.headline], scored.loss, _seen(scored))

    return score, scorer


def _seen(scored: Scored) -> int:
    return 0 if scored.outcomes is None else len(scored.outcomes)


def bare_products(setting: Setting, rows: RaceRows, candidates: Sequence[Architecture]) -> Way:
    """Nothing but the products of the candidates' linear layers, with the positions of each of our batches."""
    weights = {one: _weights(setting.pruner(one, share_weights=True)) for one in candidates}
    tokens = [batch.tensors["input_ids"].numel() for leg in rows.legs for batch in leg.batches]
    widths = {weight.shape[1] for each in weights.values() for weight in each}
    inputs = {(count, width): torch.randn(count, width) for count in set(tokens) for width in widths}

    def multiply(architecture: Architecture) -> Result:
        with torch.inference_mode():
            for count in tokens:
                for weight in weights[architecture]:
                    functional.linear(inputs[count, weight.shape[1]], weight)
        return Result(0.0, 0.0, len(setting.rows))

    return multiply


def _weights(model: PreTrainedModel) -> list[torch.Tensor]:
    places = [place for block, _ in family_of(model.config).blocks(model) for place in (*block.inputs, block.output)]
    return [place.module.weight.detach() for place in places if isinstance(place.module, nn.Linear)]


# --- what is computed -------------------------------------------------------------------------------------------------


def products(setting: Setting, rows: RaceRows, architecture: Architecture) -> tuple[int, int]:
    """MACs of the linear layers and of attention when all our batches are run, padding included."""
    parameters = sum(weight.numel() for weight in _weights(setting.pruner(architecture, share_weights=True)))
    head_size = next(size for _, size in family_of(setting.dense.config).blocks(setting.dense))
    shapes = [batch.tensors["input_ids"].shape for leg in rows.legs for batch in leg.batches]
    linear = sum(batch * length for batch, length in shapes) * parameters
    attention = sum(batch * length**2 for batch, length in shapes) * 2 * head_size * sum(architecture.heads)
    return linear, attention


def waste(parts: Sequence[Prepared]) -> dict[str, float]:
    """Real tokens, positions computed, and the share of positions that is padding."""
    positions = sum(batch.tensors["input_ids"].numel() for part in parts for batch in part.batches)
    tokens = sum(len(row["input_ids"]) for part in parts for row in part.encoded)
    return {"tokens": tokens, "positions": positions, "padding_share": 1 - tokens / positions}


def agreement(setting: Setting, candidate: Architecture) -> dict[str, float]:
    """Largest differences of metric and loss between three ways of leaving the same units out; rounding only.

    Raises: SystemExit when a way does not compute what the others do, since its time would mean nothing.
    """
    same = CriterionPruner(setting.dense, setting.importance)
    ways = [naive(setting)[0], masks(setting)[0], ours(setting, same, setting.race_rows(()))[0]]
    found = [way(candidate) for way in ways]
    metrics, losses = [one.metric for one in found], [one.loss for one in found]
    differences = {"metric": max(metrics) - min(metrics), "loss": max(losses) - min(losses)}
    if differences["loss"] > 1e-4:
        raise SystemExit(f"the three ways must agree on the loss, got {losses}")
    return differences

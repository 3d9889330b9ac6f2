"""Scoring candidates without fine-tuning: build the smaller model, run the search rows, stop once it is beaten."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.errors import ConfigError
from aebert.models.divergence import divergences
from aebert.models.evaluation import Prepared, gather, model_inputs
from aebert.models.families import family_of
from aebert.models.int8 import Int8Weights, quantized
from aebert.pruning.architecture import Architecture
from aebert.pruning.pruners import Pruner
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.racing import RaceRows, expected_difference, is_beaten
from aebert.search.scored import Scored as Scored
from aebert.tasks.metrics import evaluate_outputs
from aebert.tasks.resampling import row_marks
from aebert.tasks.task import TaskSpec

ScoringPrecision = Literal["float32", "bfloat16", "float16"]
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class SubnetworkScorer:
    """Scores an architecture on the search rows, in a race against the outcomes of a rival if there is one.

    It runs the physically smaller model instead of a masked one: the logits are the same and the cost is lower.
    Embeddings are computed once, since pruning does not change them. Batches are sorted by length, and have no mask
    where nothing is padded. device: where models run. precision: of the matrix products; all else is float32.

    int8: score models as their `dynamic-int8` files compute them (`aebert.models.int8.quantized`), embeddings included;
    on the CPU and in float32 otherwise. Ranges of activations are those of each batch here, so a file that is given
    rows one by one rounds them more finely. None: as the model is.
    """

    def __init__(
        self,
        dense: PreTrainedModel,
        pruner: Pruner,
        rows: RaceRows,
        judge: Judge,
        *,
        device: str = "cpu",
        precision: ScoringPrecision = "float32",
        int8: Int8Weights | None = None,
    ) -> None:
        self._pruner, self._rows, self._judge = pruner, rows, judge
        self._device, self._precision, self._int8 = usable_device(device), precision, int8
        if int8 is not None and (self._device.type != "cpu" or precision != "float32"):
            raise ValueError(f"int8 scores need device cpu and precision float32, got {device} and {precision}")
        embedder = dense if int8 is None else quantized(dense, int8)
        self._legs = [list(_inputs_of(embedder, leg, self._device)) for leg in rows.legs]
        self._yardstick = _yardstick(dense, rows, device) if judge.objective == "divergence" else None

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        """Score a candidate. With a rival (its outcomes on all rows), the candidate may be stopped early."""
        return self.score(self._pruner(architecture, share_weights=True), rival)

    def score(self, model: PreTrainedModel, rival: Outcomes | None = None) -> Scored:
        """Score a sub-network of the dense model, whose embeddings are taken out of it for that."""
        model, slot = self._assemble(model)
        seen = _Seen(self._rows, self._yardstick)
        for index, (leg, inputs) in enumerate(zip(self._rows.legs, self._legs, strict=True)):
            seen.add(leg, self._run(model, slot, inputs))
            last = index == len(self._legs) - 1
            if not last and rival is not None and is_beaten(self._judge, seen.outcomes, rival, self._rows.strata):
                return self._estimate(seen.outcomes, rival)
        return Scored(seen.metrics(), float(seen.outcomes.losses.astype(np.float64).mean()), seen.outcomes)

    def _assemble(self, model: PreTrainedModel) -> tuple[PreTrainedModel, _Slot]:
        backbone = family_of(model.config).backbone
        model.get_submodule(backbone).embeddings = _Slot()
        if self._int8 is not None:
            model = quantized(model, self._int8)
        if self._device.type != "cpu":  # a copy: moving shared weights would move the dense model's too
            model = copy.deepcopy(model).to(self._device)
        return model, cast(_Slot, model.get_submodule(backbone).embeddings)

    def _run(self, model: PreTrainedModel, slot: _Slot, inputs: Sequence[_Inputs]) -> Iterator[torch.Tensor]:
        """Logits of each batch, float32 on the CPU."""
        low = _DTYPES.get(self._precision)
        for one in inputs:
            slot.output = one.embedded
            lowered: Any = torch.autocast(self._device.type, dtype=low) if low else nullcontext()
            with torch.inference_mode(), lowered:
                yield model(**one.tensors).logits.float().cpu()

    def _estimate(self, seen: Outcomes, rival: Outcomes) -> Scored:
        spec = self._judge.spec
        metric, loss = Judge(spec), Judge(spec, "loss")
        leads = [expected_difference(judge, seen, rival, self._rows.strata).value for judge in (metric, loss)]
        headline, mean_loss = metric.score(rival) + leads[0], -(loss.score(rival) + leads[1])
        return Scored({spec.headline: headline}, mean_loss, seen, True)


def dense_logits(
    dense: PreTrainedModel, prepared: Prepared, device: str = "cpu", int8: Int8Weights | None = None
) -> list[np.ndarray]:
    """Logits of the dense model, one array per row in row order, computed on `device`; the model is not moved there.

    int8: as of `SubnetworkScorer`, on the CPU only.
    """
    place = usable_device(device)
    model = dense if int8 is None else quantized(dense, int8)
    model = model if place.type == "cpu" else copy.deepcopy(model).to(place)

    def outputs() -> Iterator[torch.Tensor]:
        for batch in prepared.batches:
            inputs = {name: tensor.to(place) for name, tensor in model_inputs(dense, batch.tensors).items()}
            yield model(**inputs).logits.float().cpu()

    with torch.inference_mode():
        return gather(outputs(), prepared)[1]


def outcomes_of(prepared: Prepared, losses: np.ndarray, logits: Sequence[np.ndarray]) -> Outcomes:
    """What a model or a file did on each row, for comparing it with others; losses and logits as of `Evaluation`."""
    marks = row_marks(prepared.spec, prepared.rows, prepared.encoded, logits)
    return Outcomes(losses.astype(np.float32), marks.astype(np.float32))


def usable_device(device: str) -> torch.device:
    """The device of this name. Raises: ConfigError when torch can't use it on this machine."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"search.device must be one that torch can use here, got {device!r} ({reason})") from None
    return found


class _Slot(nn.Module):
    """Stands in for the embeddings, and gives what they made of the current batch."""

    output: torch.Tensor

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        """The embedded batch [batch, seq, hidden]."""
        return self.output


@dataclass(frozen=True)
class _Inputs:
    tensors: Mapping[str, torch.Tensor]
    embedded: torch.Tensor


class _Embedded(Exception):
    """Ends a forward pass after the embeddings."""


def _inputs_of(dense: PreTrainedModel, leg: Prepared, device: torch.device) -> Iterator[_Inputs]:
    """Each batch on the device, with what the dense model's embeddings make of it."""
    for batch in leg.batches:
        inputs = model_inputs(dense, batch.tensors)
        embedded = _embed(dense, inputs)
        if bool(inputs["attention_mask"].all()):
            del inputs["attention_mask"]
        yield _Inputs({name: tensor.to(device) for name, tensor in inputs.items()}, embedded.to(device))


def _embed(dense: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    made: list[torch.Tensor] = []

    def stop(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        made.append(output)
        raise _Embedded

    module = dense.get_submodule(family_of(dense.config).backbone).embeddings
    handle, training = module.register_forward_hook(stop), module.training
    module.eval()  # no dropout, whatever mode the dense model is in
    try:
        with torch.inference_mode():
            dense(**inputs)
    except _Embedded:
        pass
    finally:
        handle.remove()
        module.train(training)
    return made[0]


class _Yardstick:
    """What the dense model, as it is, puts out for all rows; divergences are counted from it.

    That of regression is a share of the variance of these outputs, since they may be in any unit.
    """

    def __init__(self, spec: TaskSpec, logits: Sequence[np.ndarray]) -> None:
        self._spec, self._logits = spec, logits
        spread = float(np.var(np.concatenate(logits))) if spec.kind == "regression" else 1.0
        self._scale = spread or 1.0

    def __call__(self, first: int, leg: Prepared, logits: Sequence[np.ndarray]) -> np.ndarray:
        """Divergences [rows] of a leg, whose rows begin at `first` of all."""
        dense = self._logits[first : first + len(leg.rows)]
        return divergences(self._spec, leg.encoded, dense, logits) / self._scale


def _yardstick(dense: PreTrainedModel, rows: RaceRows, device: str) -> _Yardstick:
    return _Yardstick(rows.spec, [one for leg in rows.legs for one in dense_logits(dense, leg, device)])


class _Seen:
    """Results of the legs that have been run. yardstick: where losses are divergences."""

    def __init__(self, rows: RaceRows, yardstick: _Yardstick | None) -> None:
        self._spec, self._labelled, self._yardstick = rows.spec, rows.labelled, yardstick
        self._legs: list[Prepared] = []
        self._logits: list[np.ndarray] = []
        self.outcomes = Outcomes(np.empty(0, np.float32), np.empty((0, 0), np.float32))

    def add(self, leg: Prepared, outputs: Iterator[torch.Tensor]) -> None:
        """Take in the logits of a leg's batches."""
        losses, logits = gather(outputs, leg)
        start = len(self._logits)
        found = outcomes_of(leg, losses if self._yardstick is None else self._yardstick(start, leg, logits), logits)
        if self._labelled is not None:
            found.marks[~self._labelled[start : start + len(found)]] = np.nan
        if self._legs:
            found = Outcomes(
                np.concatenate([self.outcomes.losses, found.losses]), np.concatenate([self.outcomes.marks, found.marks])
            )
        self.outcomes = found
        self._legs.append(leg)
        self._logits += logits

    def metrics(self) -> dict[str, float]:
        """All metrics, on all rows seen that have labels."""
        rows = [row for leg in self._legs for row in leg.rows]
        encoded = [row for leg in self._legs for row in leg.encoded]
        kept = range(len(rows)) if self._labelled is None else np.flatnonzero(self._labelled[: len(rows)])
        return evaluate_outputs(
            self._spec, [rows[one] for one in kept], [encoded[one] for one in kept], [self._logits[one] for one in kept]
        )

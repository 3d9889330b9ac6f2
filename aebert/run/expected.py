"""What a run will take, guessed from one timed pass of the dense model: enough to decide whether to start it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aebert.config import RunConfig
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost
from aebert.search.first import FIRST_TRIALS
from aebert.search.schedule import EACH_VISIT, PATIENCE, REPAIRED_AGAIN
from aebert.search.space import Grid
from aebert.tasks.task import Role

# Passes of the dense model, as measured on runs of MiniLM and BERT-base
_TRAINING = 3.3  # a step on some tokens: forward, backward, padding, and what the optimizer takes
_DISTILLED = 3.0  # a step of a finalist: the same on what is left of the encoder, and a pass of its teacher
_TRIAL = 0.5  # a candidate on the search rows: what is left of the encoder, and races that stop most early
_REPAIR = 3.5  # a candidate of the second round on the calibration rows: the dense model, and what is left of it
_RUNG = 0.4  # the library of a further rung, as a share of the dense model's
_CALIBRATION = 2.0  # a pass over the calibration rows that collects moments, without their products
_PRODUCTS = 0.5  # these products, which have larger matrices than a forward pass
_REMOVAL = 12.0  # removing the units of a block one by one: this many times its width³ multiply-accumulates
_KEPT = 0.6  # of a finalist's encoder
_PER_MODEL = 35.0  # seconds to export, check, quantize and time the files of a model


@dataclass(frozen=True)
class Timed:
    """One timed pass of the dense model. seconds: by token. macs: multiply-accumulates by token."""

    seconds: float
    macs: float


def macs_by_token(shape: ModelShape, length: int) -> float:
    """Multiply-accumulates of the dense encoder by token, of sequences of `length` tokens."""
    return cost(Architecture.dense(shape), shape, length).macs / length


def expected_seconds(
    config: RunConfig,
    shape: ModelShape,
    tokens: Mapping[Role, int],
    train_rows: int,
    timed: Timed,
    *,
    trains: bool,
    rungs: int = 0,
    unlabelled: float = 0.0,
) -> dict[str, float]:
    """Seconds by part of a run, each a rough guess.

    tokens: of all rows of each role. rungs: how many the search goes down, 0 without a ladder. unlabelled: rows that
    candidates are scored on besides the search rows, as a multiple of these. The search is left out where it runs on
    another device than the timed pass.
    """
    seconds = timed.seconds
    calibrated = tokens["train"] * min(config.pruning.calibration_rows, train_rows) / train_rows
    tuned = _most_tuned(config)
    models = tuned + 1
    scored = tokens["select"] * (1 + len(config.deploy.tried)) + 2 * tokens["report"]
    measured = 2 * (config.profile.runs + config.profile.warmup) * tokens["report"] / train_rows
    library = _library(shape, calibrated, timed) if config.pruning.method == "library" else 0.0
    ladder = rungs > 0
    trial = tokens["search"] * (1 + unlabelled) * _TRIAL
    trial += ladder * calibrated * _REPAIR / (EACH_VISIT + REPAIRED_AGAIN)
    found = {
        "dense": config.dense.epochs * tokens["train"] * _TRAINING * seconds if trains else 0.0,
        "library": library * (1 + _RUNG * max(0, rungs - 1)),
        "search": _trials(config, ladder) * trial * seconds,
        "finalists": tuned * config.finalists.epochs * tokens["train"] * _DISTILLED * seconds
        + config.finalists.count * config.finalists.gradual * _RUNG * library,
        "files": models * (_PER_MODEL + (scored + measured) * seconds),
    }
    if config.search.device != "cpu":
        del found["search"]
    return found


def _trials(config: RunConfig, ladder: bool) -> int:
    """How many trials there will be; of a search that ends by itself the fewest."""
    if config.search.trials != "auto":
        return config.search.trials
    visit = EACH_VISIT + ladder * REPAIRED_AGAIN
    return 1 + len(config.search.budget.targets) * (len(FIRST_TRIALS) + PATIENCE * visit)


def _library(shape: ModelShape, tokens: float, timed: Timed) -> float:
    widths = [heads * shape.head_size for heads in shape.heads] + list(shape.ffn)
    by_mac = timed.seconds / timed.macs
    products = _PRODUCTS * tokens * sum(width**2 for width in widths) * by_mac
    return _CALIBRATION * tokens * timed.seconds + products + _REMOVAL * sum(width**3 for width in widths) * by_mac


def _most_tuned(config: RunConfig) -> int:
    """Models that are fine-tuned after the search: the finalists, and at most a baseline of each kind for each."""
    return config.finalists.count * (1 + len(config.finalists.baselines))


def expected_bytes(
    config: RunConfig, shape: ModelShape, grid: Grid, parameters: int, *, trains: bool
) -> dict[str, int]:
    """Bytes of disk by part of a run, what training needs for a while included."""
    encoder = parameters - shape.other_params
    finalist = shape.other_params + int(_KEPT * encoder)
    models = [parameters] + [finalist] * _most_tuned(config)
    library = _library_bytes(shape, grid) if config.pruning.method == "library" else 0
    return {
        "dense": 4 * parameters,
        "training": 12 * (parameters if trains else finalist),  # weights and two moments of the optimizer
        "library": library,
        "finalists": 4 * finalist * _most_tuned(config),
        "files": sum((4 + 1) * count for count in models),  # float32 and int8
        "bundles": parameters + finalist * config.finalists.count,
    }


def _library_bytes(shape: ModelShape, grid: Grid) -> int:
    """Output projections in half precision, one for each width that is less than whole."""
    sizes = [shape.head_size] * shape.layers + [1] * len(shape.ffn)
    units = [*shape.heads, *shape.ffn]
    blocks = zip(grid.allowed, units, sizes, strict=True)
    return sum(2 * shape.hidden * size * width for widths, most, size in blocks for width in widths if width < most)

"""What people do by hand: the first layers of the dense model at the cost of each finalist, fine-tuned as these are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from aebert.config import ModelConfig
from aebert.latency.sources import PriceSource
from aebert.models.checkpoint import load_checkpoint
from aebert.models.counting import shape_of
from aebert.models.depth import first_layers
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost
from aebert.run.dense import Dense
from aebert.run.finalists import Finalist, tune, tuning_inputs
from aebert.run.prices import workload_of
from aebert.run.run import Run
from aebert.search.axis import Axis
from aebert.search.budget import cost_table
from aebert.search.front import spent
from aebert.search.kinds import KINDS, Basis
from aebert.search.setup import SearchSetup
from aebert.search.space import make_grid


@dataclass(frozen=True)
class Cut:
    """The first layers of the dense model, before any training. It is a `Counted` of `aebert.search.kinds`.

    cost: in the unit of the study's budgets. params, sparsity, macs_removed: as in `TrialRecord`.
    """

    layers: int
    architecture: Architecture
    cost: float
    params: int
    sparsity: float
    macs_removed: float


@dataclass(frozen=True)
class Baseline:
    """A cut, fine-tuned as the finalists are.

    finalists: names of those at whose cost it is. budget: the hardest of the study's that it meets; None for none.
    folder: of the model. select_metrics: on the select rows. guess: headline metric of guessing there. seconds: of its
      training.
    """

    cut: Cut
    finalists: tuple[str, ...]
    budget: float | None
    folder: Path
    digest: str
    select_metrics: Mapping[str, float]
    guess: float
    seconds: float

    @property
    def name(self) -> str:
        """What its files and table rows are called."""
        return _name(self.cut.layers)


def _name(layers: int) -> str:
    return f"first-{layers}-layer{'s' if layers > 1 else ''}"


def fine_tuned_baselines(
    run: Run, dense: Dense, setup: SearchSetup, source: PriceSource | None, finalists: Sequence[Finalist]
) -> list[Baseline]:
    """The baselines of the finalists, one for each number of layers, from the most layers to the fewest.

    source: what a latency budget is counted with. Empty unless `finalists.baselines` asks for them.
    """
    if "layers" not in run.config.finalists.baselines:
        return []
    cuts = layer_cuts(run, dense, setup, source)
    at_cost = {finalist.name: cut_at(cuts, spent(finalist.trial, setup.info), setup) for finalist in finalists}
    chosen = sorted(set(at_cost.values()), key=lambda cut: -cut.layers)
    return [_baseline(run, dense, setup, cut, [name for name in at_cost if at_cost[name] == cut]) for cut in chosen]


def layer_cuts(run: Run, dense: Dense, setup: SearchSetup, source: PriceSource | None) -> list[Cut]:
    """What the first layers of the dense model cost, from one layer to all of them."""
    return [_cut(run, dense, setup, source, layers) for layers in range(1, dense.shape.layers + 1)]


def cut_at(cuts: Sequence[Cut], cost: float, setup: SearchSetup) -> Cut:
    """The cut with most layers that costs no more than this, in the unit of the study's budgets.

    It is the first one where all cost more. Costs that are less than one step of the grid apart count as one cost, as
    they do on fronts: finalists lie less than that below a budget, which whole layers may fill.

    cuts: from the fewest layers to the most.
    """
    axis = Axis(KINDS[setup.info.budget_kind], setup.info.step)
    within = [cut for cut in cuts if axis.costs_no_more(cut.cost, cost)]
    return within[-1] if within else cuts[0]


def _cut(run: Run, dense: Dense, setup: SearchSetup, source: PriceSource | None, layers: int) -> Cut:
    shape, length = shape_of(first_layers(dense.model, layers, share_weights=True)), setup.info.length
    counted, full = (cost(Architecture.dense(one), one, length) for one in (shape, dense.shape))
    return Cut(
        layers=layers,
        architecture=Architecture.dense(shape),
        cost=_counted_cost(run, setup, shape) if source is None else _price(run, source, shape),
        params=counted.params,
        sparsity=1 - counted.encoder_params / full.encoder_params,
        macs_removed=1 - counted.macs / full.macs,
    )


def _counted_cost(run: Run, setup: SearchSetup, shape: ModelShape) -> float:
    """Shares removed, parameters, or MB of a model of this shape, all of whose units are kept."""
    kind = KINDS[setup.info.budget_kind]
    totals = []
    for each in (shape, setup.shape):
        grid = make_grid(run.space, each)
        totals.append(cost_table(kind, Basis(each, grid, setup.info.length, setup.int8)).total(grid.last))
    return kind.cost(*totals)


def _price(run: Run, source: PriceSource, shape: ModelShape) -> float:
    """Milliseconds by the device's prices, which know a dropped layer only as a layer without units.

    What such a layer takes (its norms) is counted although it is gone, so the cut may be a little faster than this.
    """
    heads, ffn = (
        (*mine, *(0,) * (len(full) - len(mine)))
        for mine, full in ((shape.heads, source.dense.heads), (shape.ffn, source.dense.ffn))
    )
    return source.predict(Architecture(heads, ffn), workload_of(run.config.search.budget))


def _baseline(run: Run, dense: Dense, setup: SearchSetup, cut: Cut, finalists: Sequence[str]) -> Baseline:
    name = _name(cut.layers)
    folder = run.folder / "baselines" / name
    inputs = {"dense": dense.digest, "layers": cut.layers, **tuning_inputs(run)}
    stage = run.stage(f"baseline-{name}", inputs, [str(folder.relative_to(run.folder))])

    def make() -> dict[str, Any]:
        model = first_layers(dense.model, cut.layers)
        return tune(run, dense, model, stage, folder, title=f"fine-tune {name}")

    result = stage.run(make)
    kind = KINDS[setup.info.budget_kind]
    met = [target for target in setup.info.targets if kind.meets(cut.cost, target)]
    return Baseline(
        cut=cut,
        finalists=tuple(finalists),
        budget=met[-1] if met else None,
        folder=folder,
        digest=result["weights"],
        select_metrics=result["metrics"],
        guess=result["guess"],
        seconds=result["seconds"],
    )


def load_baseline(run: Run, baseline: Baseline) -> PreTrainedModel:
    """A baseline as it was stored, in eval mode."""
    return load_checkpoint(ModelConfig(path=str(baseline.folder)), run.task.spec, run.config.seed).model

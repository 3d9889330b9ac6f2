"""What a latency budget is counted with: a table, measured once for a study or read from a file, or an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import ONLY_LATENCY, BudgetConfig, RunConfig
from aebert.latency.measurement import TablePlan, measure_table
from aebert.latency.sources import PriceSource, price_source
from aebert.latency.table import LatencyTable, TableShape
from aebert.latency.table_files import read_table, to_dict, write_table
from aebert.latency.workload import FileForm, Workload
from aebert.models.counting import shape_of
from aebert.models.shape import ModelShape
from aebert.progress import Progress
from aebert.run.stage import Stage
from aebert.search.budget import LatencyCosts
from aebert.search.space import Grid
from aebert.studies.folder import TABLE

_HELD_OUT = 12  # models that a study's own table is checked with, for its margin


def workload_of(budget: BudgetConfig) -> Workload:
    """How a latency budget's requests are run."""
    return Workload(budget.length, budget.batch, budget.threads)


def form_of(config: RunConfig) -> FileForm:
    """The form of file that a run ships."""
    return "int8" if config.deploy.int8 else "float32"


def study_prices(
    config: RunConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> PriceSource:
    """What a run's latency budget is counted with, by its `device`.

    `this` is measured on this machine, once: the table stays in the run's folder, also when the run goes on elsewhere,
    since the candidates of one study must be priced alike.

    Raises: ConfigError when the device is unknown or has no such prices, or a given file is damaged.
    """
    budget, shape, form = config.search.budget, shape_of(model), form_of(config)
    source = price_source(budget.device, shape, form, lambda: _own_table(config, model, tokenizer, progress))
    source.check(shape, form, workload_of(budget))
    return source


def _own_table(
    config: RunConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> LatencyTable:
    names, channels, opset = list(tokenizer.model_input_names), config.deploy.per_channel, config.deploy.opset
    plan = TablePlan(form_of(config), (workload_of(config.search.budget),), held_out=_HELD_OUT)
    inputs = {
        "shape": _plain_shape(shape_of(model)),
        "plan": plan.digest,
        "inputs": names,
        "deploy": {"per_channel": channels, "opset": opset},
    }

    def make() -> dict[str, Any]:
        table = measure_table(model, names, plan, per_channel=channels, opset=opset, progress=progress)
        write_table(table, config.folder / TABLE)
        return {"error": to_dict(table)["error"]}

    Stage(config.folder, "latency-table", inputs, [TABLE]).run(make)
    return read_table(config.folder / TABLE)


def _plain_shape(shape: ModelShape) -> dict[str, Any]:
    """What tells encoders apart, as plain values."""
    encoder = TableShape.of(shape)
    return {**vars(encoder), "heads": list(encoder.heads), "ffn": list(encoder.ffn)}


def prices_of(source: PriceSource, budget: BudgetConfig, grid: Grid) -> LatencyCosts:
    """The costs of a grid's blocks, and the margin between what is predicted and what may be measured."""
    return LatencyCosts(source.cost_table(workload_of(budget), grid), margin_of(source, budget))


def margin_of(source: PriceSource, budget: BudgetConfig) -> float:
    """`budget.margin`, else the margin that the source knows."""
    return source.margin(workload_of(budget)) if budget.margin is None else budget.margin


def describe_device(source: PriceSource, budget: BudgetConfig) -> str:
    """What a latency budget holds for, in one line; an estimate is called one."""
    margin = margin_of(source, budget)
    shown = "" if source.estimated and not margin else f", margin {100 * margin:.1f} %"
    return source.describe(workload_of(budget)) + shown


def settings_of(source: PriceSource | None, values: Mapping[str, Any], budget: BudgetConfig) -> dict[str, Any]:
    """The plain values of a budget that trials depend on.

    They depend on prices, and not on the place where the file of a table or a device is.
    """
    known = {key: value for key, value in values.items() if key not in ONLY_LATENCY}
    if source is None:
        return known
    own = {"batch": budget.batch, "threads": budget.threads, "margin": margin_of(source, budget)}
    return {**known, **own, "estimate" if source.estimated else "table": source.digest}

"""What a latency budget is counted with: a table, measured once for a study or read from a file, or an estimate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import BudgetConfig, RunConfig, digest
from aebert.errors import ConfigError
from aebert.latency.devices import Device
from aebert.latency.measurement import TablePlan, measure_table
from aebert.latency.sources import EstimatedPrices, price_source
from aebert.latency.table import FileForm, LatencyTable, TableShape, Workload, read_table, to_dict, write_table
from aebert.models.counting import shape_of
from aebert.models.shape import ModelShape
from aebert.profiling.machine import machine_facts
from aebert.progress import Progress
from aebert.run.stage import Stage
from aebert.search.budget import LatencyCosts
from aebert.search.space import Grid

TABLE = "latency-table.json"  # in a study's folder
_HELD_OUT = 12  # models that a study's own table is checked with, for its margin


def setting_of(budget: BudgetConfig) -> Workload:
    """How a latency budget's requests are run."""
    return Workload(budget.length, budget.batch, budget.threads)


def form_of(config: RunConfig) -> FileForm:
    """The form of file that a run ships."""
    return "int8" if config.deploy.int8 else "float32"


def study_prices(
    config: RunConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> LatencyTable | EstimatedPrices:
    """What a run's latency budget is counted with, by its `device`.

    `this` is measured on this machine, once: the table stays in the run's folder, also when the run goes on elsewhere,
    since the candidates of one study must be priced alike. A device that has a model is estimated.

    Raises: ConfigError when the device is unknown or can't price such work; when a given file is damaged, or of another
        encoder, form or setting.
    """
    budget, form = config.search.budget, form_of(config)
    source = price_source(budget.device)
    if isinstance(source, Device):
        estimated = EstimatedPrices(source, shape_of(model), form)
        estimated.check(setting_of(budget))
        return estimated
    if source is None:
        source = _own_table(config, model, tokenizer, progress)
    else:
        _check(source, form, budget)
    source.check(TableShape.of(shape_of(model)))
    source.blocks(setting_of(budget))
    return source


def _check(table: LatencyTable, form: FileForm, budget: BudgetConfig) -> None:
    if table.form != form:
        raise ConfigError(
            f"latency table {budget.device} must be of the {form} files that the run ships, it is of {table.form} "
            f"ones; set deploy.int8 to {str(table.form == 'int8').lower()} or measure another table"
        )


def _own_table(
    config: RunConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> LatencyTable:
    shape, form, names = shape_of(model), form_of(config), list(tokenizer.model_input_names)
    plan = TablePlan(form, (setting_of(config.search.budget),), held_out=_HELD_OUT)
    channels, opset = config.deploy.per_channel, config.deploy.opset
    inputs = {
        "shape": _plain_shape(shape),
        "plan": digest(repr(plan)),
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
    of = TableShape.of(shape)
    return {**vars(of), "heads": list(of.heads), "ffn": list(of.ffn)}


def prices_of(source: LatencyTable | EstimatedPrices, budget: BudgetConfig, grid: Grid) -> LatencyCosts:
    """The costs of a grid's blocks, and the margin between what is predicted and what may be measured."""
    return LatencyCosts(source.cost_table(setting_of(budget), grid), margin_of(source, budget))


def margin_of(source: LatencyTable | EstimatedPrices, budget: BudgetConfig) -> float:
    """`budget.margin`, else what 9 of 10 held-out models don't take longer than predicted by, to 3 decimals.

    0 for an estimate: what is known of its error is against other models, at other lengths, and far beyond a margin.
    """
    if budget.margin is not None:
        return budget.margin
    accuracy = source.accuracy(setting_of(budget)) if isinstance(source, LatencyTable) else None
    return 0.0 if accuracy is None else round(accuracy.under_p90, 3)


def device_name(source: LatencyTable | EstimatedPrices, budget: BudgetConfig) -> str:
    """What a latency budget holds for, in one line; an estimate says so."""
    setting, margin = setting_of(budget), margin_of(source, budget)
    told = f", margin {100 * margin:.1f} %"
    if isinstance(source, EstimatedPrices):
        return source.told(setting) + (told if margin else "")
    return f"{source.device}, {setting}{told}"


def settings_of(
    source: LatencyTable | EstimatedPrices | None, values: Mapping[str, Any], budget: BudgetConfig
) -> dict[str, Any]:
    """The plain values of a budget that trials depend on.

    Where a table or a device file lies is not of them; what the table says, and the device's model, is.
    """
    known = {key: value for key, value in values.items() if key not in ("device", "margin", "batch", "threads")}
    if source is None:
        return known
    own = {"batch": budget.batch, "threads": budget.threads, "margin": margin_of(source, budget)}
    return {**known, **own, "estimate" if isinstance(source, EstimatedPrices) else "table": source.digest}


def measured_here(source: LatencyTable | EstimatedPrices) -> bool:
    """Whether prices were measured on a machine like this one: the same processor and number of cores."""
    if isinstance(source, EstimatedPrices):
        return False
    here = machine_facts()
    return all(source.machine.get(key) == here[key] for key in ("cpu", "architecture", "cores"))

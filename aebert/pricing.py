"""What a latency budget is counted with: the table of its device, measured once for a study or read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import THIS_DEVICE, BudgetConfig, RunConfig, digest
from aebert.errors import ConfigError
from aebert.models.shape import ModelShape, shape_of
from aebert.profiling.latency_table import Form, LatencyTable, Setting, TableShape, read_table, to_dict, write_table
from aebert.profiling.machine import machine_facts
from aebert.profiling.table_measurement import TablePlan, measure_table
from aebert.progress import Progress
from aebert.search.budget import Prices
from aebert.search.space import Grid
from aebert.stages import Stage

TABLE = "latency-table.json"  # in a study's folder
_HELD_OUT = 12  # models that a study's own table is checked with, for its margin


def setting_of(budget: BudgetConfig) -> Setting:
    """How a latency budget's requests are run."""
    return Setting(budget.length, budget.batch, budget.threads)


def form_of(config: RunConfig) -> Form:
    """The form of file that a run ships."""
    return "int8" if config.deploy.int8 else "float32"


def study_table(
    config: RunConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress
) -> LatencyTable:
    """The table of a run's latency budget.

    `device: this` measures it on this machine, once: it stays in the run's folder, also when the run goes on elsewhere,
    since the candidates of one study must be priced alike.

    Raises: ConfigError when a given file is damaged, or of another encoder, form or setting.
    """
    budget, form = config.search.budget, form_of(config)
    if budget.device != THIS_DEVICE:
        table = read_table(Path(budget.device).expanduser())
        _check(table, form, budget)
    else:
        table = _own_table(config, model, tokenizer, progress)
    table.check(TableShape.of(shape_of(model)))
    table.blocks(setting_of(budget))
    return table


def _check(table: LatencyTable, form: Form, budget: BudgetConfig) -> None:
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


def prices_of(table: LatencyTable, budget: BudgetConfig, grid: Grid) -> Prices:
    """The costs of a grid's blocks, and the margin between what is predicted and what may be measured."""
    return Prices(table.cost_table(setting_of(budget), grid), margin_of(table, budget))


def margin_of(table: LatencyTable, budget: BudgetConfig) -> float:
    """`budget.margin`, else what 9 of 10 held-out models don't take longer than predicted by, to 3 decimals."""
    if budget.margin is not None:
        return budget.margin
    accuracy = table.accuracy(setting_of(budget))
    return 0.0 if accuracy is None else round(accuracy.under_p90, 3)


def device_name(table: LatencyTable, budget: BudgetConfig) -> str:
    """What a latency budget holds for, in one line."""
    return f"{table.device}, {setting_of(budget)}, margin {100 * margin_of(table, budget):.1f} %"


def settings_of(table: LatencyTable | None, values: Mapping[str, Any], budget: BudgetConfig) -> dict[str, Any]:
    """The plain values of a budget that trials depend on; where a table lies is not of them, what it says is."""
    known = {key: value for key, value in values.items() if key not in ("device", "margin", "batch", "threads")}
    if table is None:
        return known
    own = {"batch": budget.batch, "threads": budget.threads, "margin": margin_of(table, budget)}
    return {**known, **own, "table": table.digest}


def measured_here(table: LatencyTable) -> bool:
    """Whether a table is of a machine like this one: the same processor and number of cores."""
    here = machine_facts()
    return all(table.machine.get(key) == here[key] for key in ("cpu", "architecture", "cores"))

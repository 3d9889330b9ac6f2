"""Commands about latency: tables of devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from aebert.cli.app import Config, Set, app, started
from aebert.errors import ConfigError


@app.command("latency-table")
def latency_table(
    config: Config,
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    sets: Set = None,
    lengths: Annotated[str, typer.Option(help="Tokens per row, separated by commas.")] = "16,32,64,128",
    threads: Annotated[str, typer.Option(help="Numbers of threads.")] = "1",
    batches: Annotated[str, typer.Option(help="Rows per request.")] = "1",
    form: Annotated[Literal["int8", "float32"], typer.Option(help="Form of the files that ship.")] = "int8",
    runs: Annotated[int, typer.Option(help="Requests per model and setting.")] = 21,
    held_out: Annotated[int, typer.Option(help="Whole models that predictions are checked on.")] = 20,
) -> None:
    """Measure what sub-networks of a config's model take on this machine; for search.budget.device and pareto."""
    axes = [_numbers(text, f"--{name}") for name, text in (("lengths", lengths), ("batches", batches))]
    used = _numbers(threads, "--threads")
    with started(config, sets) as work:
        from aebert.latency.measurement import TablePlan, measure_table
        from aebert.latency.table import Workload, write_table
        from aebert.models.checkpoint import load_checkpoint
        from aebert.reporting.latency_tables import accuracy_grid
        from aebert.reporting.printing import print_grid

        settings = tuple(Workload(length, batch, each) for each in used for length in axes[0] for batch in axes[1])
        plan = TablePlan(form, settings, runs=runs, held_out=held_out)
        start = load_checkpoint(work.run.config.model, work.run.task.spec, work.run.config.seed)
        deploy = work.run.config.deploy
        table = measure_table(
            start.model,
            start.tokenizer.model_input_names,
            plan,
            per_channel=deploy.per_channel,
            opset=deploy.opset,
            progress=work.run.progress,
        )
        write_table(table, out)
        print_grid(accuracy_grid(table))
        typer.echo(f"{out}: measured in {table.seconds:.0f} s")


def _numbers(text: str, option: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"{option} takes whole numbers above 0, separated by commas, such as 16,32, got {text!r}")
    return list(dict.fromkeys(map(int, parts)))

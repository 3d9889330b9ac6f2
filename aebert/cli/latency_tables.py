"""The command that measures a latency table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from aebert.cli.app import Config, Numbers, Set, app, echo, started
from aebert.cli.number_lists import numbers


@app.command("latency-table")
def latency_table(
    config: Config,
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    sets: Set = None,
    lengths: Annotated[Numbers, typer.Option(metavar="N,N", help="Tokens per row; by default 16,32,64,128.")] = None,
    threads: Annotated[Numbers, typer.Option(metavar="N,N", help="Numbers of threads; by default 1.")] = None,
    batches: Annotated[Numbers, typer.Option(metavar="N,N", help="Rows per request; by default 1.")] = None,
    form: Annotated[Literal["int8", "float32"], typer.Option(help="Form of the files that will ship.")] = "int8",
    runs: Annotated[int, typer.Option(help="Timed requests per model and setting.")] = 21,
    held_out: Annotated[int, typer.Option(help="Number of whole models that predictions are checked on.")] = 20,
) -> None:
    """Measure what blocks of a config's model cost on this machine.

    The table can be the device of a search (search.budget.device) and of `aebert pareto --device`.
    """
    tokens = numbers(lengths or ["16,32,64,128"], "--lengths")
    rows = numbers(batches or ["1"], "--batches")
    used = numbers(threads or ["1"], "--threads")
    with started(config, sets) as work:
        from aebert.latency.measurement import TablePlan, measure_table
        from aebert.latency.table_files import write_table
        from aebert.latency.workload import Workload
        from aebert.reporting.latency_tables import accuracy_table
        from aebert.reporting.printing import print_tables

        settings = tuple(Workload(length, batch, each) for each in used for length in tokens for batch in rows)
        plan = TablePlan(form, settings, runs=runs, held_out=held_out)
        start, deploy = work.start, work.run.config.deploy
        table = measure_table(
            start.model,
            start.tokenizer.model_input_names,
            plan,
            per_channel=deploy.per_channel,
            opset=deploy.opset,
            progress=work.run.progress,
        )
        write_table(table, out)
        print_tables(accuracy_table(table))
        echo(f"{out}: measured in {table.seconds:.0f} s")

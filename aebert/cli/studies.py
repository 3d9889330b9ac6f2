"""Commands that only look: at studies, tasks, spaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aebert.cli.base import Results, Study, app, print_report, print_search


@app.command()
def pareto(
    study: Study, results: Results = Path("results"), out: Annotated[Path | None, typer.Option()] = None
) -> None:
    """Print the Pareto front of a study and what its search won; write CSV, PNG and HTML (to --out or its folder)."""
    from aebert.summary import open_report, write_files

    found, folder = open_report(study, results)
    print_search(found)
    for path in write_files(found, out or folder, summary=False).values():
        typer.echo(str(path))


@app.command()
def studies(results: Results = Path("results")) -> None:
    """List the studies below --results."""
    from aebert.reporting.tables import print_table, studies_table
    from aebert.summary import open_reports

    reports, problems = open_reports(results)
    print_table(studies_table(reports))
    for problem in problems:
        typer.echo(f"not shown: {problem}", err=True)


@app.command()
def show(
    study: Study,
    trial: Annotated[int | None, typer.Argument(help="Number of a trial.")] = None,
    results: Results = Path("results"),
) -> None:
    """Show a study with its finalists and profiles, or one trial with what it keeps of each layer."""
    from aebert.reporting.tables import print_table, trial_detail
    from aebert.summary import open_report

    found, _ = open_report(study, results)
    if trial is None:
        print_report(found)
    else:
        print_table(trial_detail(found, trial))


@app.command()
def tasks() -> None:
    """List the registered tasks, and how own data is described."""
    from aebert.tasks.catalog import TASKS

    for name in TASKS:
        spec = TASKS[name]
        typer.echo(f"{name:20} {spec.kind:15} {spec.headline:10} {', '.join(spec.columns)} → {spec.label_column}")
    typer.echo("own data: any other task.name with task.kind, data.files (or data.hub), task.text and task.label")


@app.command()
def spaces() -> None:
    """List the search spaces."""
    from aebert.search.space import load_space, space_folder

    for path in sorted(space_folder().glob("*.yaml")):
        typer.echo(f"{path.stem:18} {load_space(path.stem).source}")

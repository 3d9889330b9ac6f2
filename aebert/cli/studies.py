"""Commands that only look: at studies, tasks, spaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aebert.cli.base import Results, Study, app, print_report, print_search

if TYPE_CHECKING:
    from aebert.reporting.rows import Report


@app.command()
def pareto(
    study: Study,
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option()] = None,
    device: Annotated[Path | None, typer.Option(help="Latency table: price all candidates on its device.")] = None,
    budgets: Annotated[
        list[str] | None, typer.Option("--budget", metavar="KIND=VALUE", help="Best within: --budget latency_ms=8.")
    ] = None,
    length: Annotated[int | None, typer.Option(help="With --device: tokens; by default the study's.")] = None,
    batch: Annotated[int, typer.Option(help="With --device: rows per request.")] = 1,
    threads: Annotated[int, typer.Option(help="With --device: threads.")] = 1,
) -> None:
    """Print the Pareto front of a study and what its search won; write CSV, PNG and HTML (to --out or its folder).

    With --device or --budget, print the front by other costs instead, and write a CSV; nothing is scored again.
    """
    from aebert.summary import open_report, write_files

    found, folder = open_report(study, results)
    if device is not None or budgets:
        _print_repriced(found, folder, out or folder, device, budgets or [], (length, batch, threads))
        return
    print_search(found)
    for path in write_files(found, out or folder, summary=False).values():
        typer.echo(str(path))


def _print_repriced(
    found: Report, folder: Path, out: Path, device: Path | None, budgets: list[str], way: tuple[int | None, int, int]
) -> None:
    from aebert.reporting.repricing import budgets_grid, parse_budgets, repriced_grid, write_repriced_csv
    from aebert.reporting.tables import print_grid
    from aebert.summary import reprice

    asked = parse_budgets(budgets)
    for kind, prices in reprice(found, folder, device, list(asked), way).items():
        print_grid(repriced_grid(found, prices))
        if kind in asked:
            typer.echo()
            print_grid(budgets_grid(found, prices, asked[kind]))
        typer.echo(str(write_repriced_csv(found, prices, out / f"repriced-{kind}.csv")))


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

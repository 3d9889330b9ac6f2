"""Commands that only look, at studies, tasks and spaces. They take no longer than reading what they show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aebert.cli.app import Results, Study, app, echo, print_report, print_search

if TYPE_CHECKING:
    from aebert.reporting.report import Report
    from aebert.reporting.repricing import Repricing

Form = Literal["int8", "float32"]


@app.command()
def pareto(
    study: Study,
    results: Results = Path("results"),
    out: Annotated[Path | None, typer.Option()] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.yaml|TABLE.json",
            help="Price all candidates on it: a latency table, or a device whose times are estimated.",
        ),
    ] = None,
    budgets: Annotated[
        list[str] | None, typer.Option("--budget", metavar="KIND=VALUE", help="Best within: --budget latency_ms=8.")
    ] = None,
    length: Annotated[int | None, typer.Option(help="With --device: tokens; by default the study's.")] = None,
    batch: Annotated[int, typer.Option(help="With --device: rows per request.")] = 1,
    threads: Annotated[int, typer.Option(help="With a latency table: threads; an estimate has its own.")] = 1,
    form: Annotated[Form | None, typer.Option(help="Form of the files; by default what the study ships.")] = None,
) -> None:
    """Print the Pareto front of a study and what its search won; write CSV, PNG and HTML (to --out or its folder).

    With --device or --budget, print the front by other costs instead, and write a CSV; nothing is scored again.
    """
    from aebert.studies.opening import open_report

    found, folder = open_report(study, results)
    if device is None and not budgets:
        _print_front(found, out or folder)
        return
    from aebert.latency.workload import Workload
    from aebert.studies.repricing import parse_budgets, reprice

    asked = parse_budgets(budgets or [])
    workload = Workload(found.info.length if length is None else length, batch, threads)
    for kind, prices in reprice(found, folder, device, asked, workload, form).items():
        _print_repriced(prices, asked.get(kind, []), out or folder)


def _print_front(found: Report, out: Path) -> None:
    print_search(found)
    from aebert.reporting.writing import write_report  # after printing: the library that draws takes a while to load

    for path in write_report(found, out, summary=False).values():
        echo(str(path))


def _print_repriced(prices: Repricing, targets: list[float], out: Path) -> None:
    from aebert.reporting.printing import print_tables
    from aebert.reporting.repricing import budgets_table, repriced_table, write_repriced_csv

    best = [budgets_table(prices, targets)] if targets else []
    print_tables(repriced_table(prices), *best)
    kind = prices.report.info.budget_kind
    echo(str(write_repriced_csv(prices, out / f"repriced-{kind}.csv")))


@app.command()
def studies(results: Results = Path("results")) -> None:
    """List the studies below --results."""
    from aebert.reporting.overview import studies_table
    from aebert.reporting.printing import print_tables
    from aebert.studies.opening import open_reports

    reports, problems = open_reports(results)
    print_tables(studies_table(reports))
    for problem in problems:
        echo(f"not shown: {problem}", err=True)


@app.command()
def copy(
    study: Study,
    url: Annotated[str, typer.Argument(metavar="URL", help="Database: postgresql+psycopg://user@host/database.")],
    results: Results = Path("results"),
) -> None:
    """Copy a study into another database, where it can be gone on with; the original stays as it is.

    Passwords are taken from PGPASSWORD or ~/.pgpass.
    """
    from aebert.studies.copying import copy_to

    folder, trials, shown = copy_to(study, results, url)
    echo(f"{trials} trials are in {shown}")
    echo(f"go on there: aebert search {folder} --set search.storage={shown}")


@app.command()
def show(
    study: Study,
    trial: Annotated[int | None, typer.Argument(help="Number of a trial.")] = None,
    results: Results = Path("results"),
) -> None:
    """Show a study with its finalists and profiles, or one trial with what it keeps of each layer."""
    from aebert.reporting.printing import print_tables
    from aebert.reporting.trials import trial_detail
    from aebert.studies.opening import open_report

    found, _ = open_report(study, results)
    if trial is None:
        print_report(found)
    else:
        print_tables(trial_detail(found, trial))


@app.command()
def tasks() -> None:
    """List the registered tasks, and how own data is described."""
    from aebert.tasks.catalog import TASKS

    for name in TASKS:
        spec = TASKS[name]
        echo(f"{name:20} {spec.kind:15} {spec.headline:10} {', '.join(spec.columns)} → {spec.label_column}")
    echo("own data: any other task.name with task.kind, data.files (or data.hub), task.text and task.label")


@app.command()
def spaces() -> None:
    """List the search spaces."""
    from aebert.search.space import load_space, space_folder

    for path in sorted(space_folder().glob("*.yaml")):
        echo(f"{path.stem:18} {load_space(path.stem).source}")

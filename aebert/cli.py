"""The command line: parse, call one function, print. Heavy imports wait until a command needs them."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aebert import __version__
from aebert.errors import AebertError, ConfigError

if TYPE_CHECKING:
    from aebert.pipeline import Run
    from aebert.reporting.rows import Report

INTERRUPTED = 130  # exit code after Ctrl-C: 128 + SIGINT, as shells have it

app = typer.Typer(
    name="aebert",
    help="Find good sub-networks of BERT-family encoders: search, fine-tune, quantize, measure, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[Path, typer.Argument(help="YAML config of a run, or the folder of one that was started.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: --set search.trials=20.")
]
Model = Annotated[str | None, typer.Option(help="Override model.path: 'minilm', a hub id or a folder.")]
Trials = Annotated[int | None, typer.Option(help="Override search.trials, the total number of trials.")]
Name = Annotated[str | None, typer.Option(help="Override name: the study and its folder below results.")]
Results = Annotated[Path, typer.Option(help="Folder that holds the studies.")]
Study = Annotated[str, typer.Argument(help="Name of a study below --results, or the path of its folder.")]


@contextmanager
def _started(config: Path, sets: list[str] | None, **given: object) -> Iterator[Run]:
    """A run, locked and with its config stored, for as long as the block runs."""
    from aebert.config import load_config
    from aebert.pipeline import CONFIG, Run
    from aebert.terminal import Terminal, quiet_libraries

    quiet_libraries()
    overrides = dict(_split(item) for item in sets or [])
    keys = {"model": "model.path", "trials": "search.trials", "name": "name"}
    overrides |= {keys[key]: str(value) for key, value in given.items() if value is not None}
    run = Run(load_config(config / CONFIG if config.is_dir() else config, overrides), Terminal())
    with run.lock():
        run.store_config()
        yield run


def _split(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes KEY=VALUE such as search.trials=20, got {item!r}")
    return key, value


@app.command()
def run(config: Config, sets: Set = None, model: Model = None, trials: Trials = None, name: Name = None) -> None:
    """Do all stages: dense, search, finalists, export, profile, report. Finished ones are skipped."""
    with _started(config, sets, model=model, trials=trials, name=name) as started:
        from aebert.summary import report

        finished = report(started)
        _print_report(finished)
        typer.echo(f"\nEverything is in {started.folder}; open {started.folder / 'front.html'} in a browser.")


@app.command()
def dense(config: Config, sets: Set = None, model: Model = None) -> None:
    """Load the dense model; fine-tune it when the checkpoint has no output layer for the task."""
    with _started(config, sets, model=model) as started:
        from aebert.models.evaluation import evaluate

        metrics = evaluate(started.dense.model, started.rows("search")).metrics
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())
        typer.echo(f"{started.folder / 'dense'}: {shown} on {len(started.task.rows['search'])} search rows")


@app.command()
def library(config: Config, sets: Set = None) -> None:
    """Build what sub-networks are made of: every block at every width, repaired (or the scores of pruning.method)."""
    with _started(config, sets) as started:
        _ = started.pruner
        folder = started.folder / "library"
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
        what = f"{folder}: {size:.0f} MB of repaired blocks" if size else f"{started.config.pruning.method}: ready"
        typer.echo(what)


@app.command()
def search(config: Config, sets: Set = None, trials: Trials = None, name: Name = None) -> None:
    """Run the study up to its total number of trials, or go on with it."""
    with _started(config, sets, trials=trials, name=name) as started:
        from aebert.reporting.rows import Report

        records, verdicts = started.study
        _print_search(Report(started.setup.info, tuple(records), verdicts=tuple(verdicts)))


@app.command()
def finalists(config: Config, sets: Set = None) -> None:
    """Fine-tune the best candidates and rank them on the select rows."""
    with _started(config, sets) as started:
        metric = started.task.spec.headline
        for finalist in started.finalists:
            score = 100 * finalist.select_metrics[metric]
            typer.echo(f"{finalist.folder}: {metric} {score:.1f} on {len(started.task.rows['select'])} select rows")


@app.command()
def export(config: Config, sets: Set = None) -> None:
    """Write the dense model and the finalists as ONNX files, float32 and int8, and check their parity."""
    with _started(config, sets) as started:
        from aebert.shipment import Shipment

        for path in Shipment(started).files.values():
            typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


@app.command()
def profile(config: Config, sets: Set = None) -> None:
    """Measure latency, throughput, size and memory of all exported files in one interleaved run."""
    with _started(config, sets) as started:
        from aebert.reporting.tables import print_table, profiles_table
        from aebert.summary import build_report

        print_table(profiles_table(build_report(started)))


@app.command()
def pareto(
    study: Study, results: Results = Path("results"), out: Annotated[Path | None, typer.Option()] = None
) -> None:
    """Print the Pareto front of a study and what its search won; write CSV, PNG and HTML (to --out or its folder)."""
    from aebert.summary import open_report, write_files

    found, folder = open_report(study, results)
    _print_search(found)
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
        _print_report(found)
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


def _print_report(found: Report) -> None:
    from aebert.reporting.tables import finalists_table, print_table, profiles_table

    _print_search(found)
    for table, rows in ((finalists_table, found.finalists), (profiles_table, found.profiles)):
        if rows:
            typer.echo()
            print_table(table(found))


def _print_search(found: Report) -> None:
    """The Pareto front, and what the search found and won."""
    from aebert.reporting.tables import front_table, print_table, verdict_table

    print_table(front_table(found))
    typer.echo()
    print_table(verdict_table(found))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aebert {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Run a command; a user's error is one line and exit code 2, Ctrl-C is exit code 130."""
    try:
        app()
    except AebertError as error:
        _fail(str(error))
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer turns Ctrl-C inside a command into exit code 130, without a word
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        typer.echo("interrupted: what was finished is kept; run the same command to go on", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        _fail(f"{error.filename or 'a file'} can't be written: {error.strerror}; what was finished is kept")


def _fail(message: str) -> None:
    typer.echo(f"aebert: error: {' '.join(message.split())}", err=True)
    sys.exit(2)

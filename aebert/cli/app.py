"""What commands share: the application, options, a started run, and what is printed of a study."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aebert import __version__
from aebert.cli.sections import Sections
from aebert.errors import ConfigError, printable

if TYPE_CHECKING:
    from aebert.reporting.report import Report
    from aebert.run.pipeline import Pipeline

app = typer.Typer(
    name="aebert",
    cls=Sections,
    help="Find good sub-networks of BERT-family encoders: search, fine-tune, quantize, measure, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[Path, typer.Argument(help="YAML config of a run, or the folder of a run that was started.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: --set search.trials=20.")
]
Model = Annotated[str | None, typer.Option(help="Override model.path: 'minilm', a hub id or a folder.")]


def _counted_or_auto(trials: str | None) -> str | None:
    if trials is not None and trials != "auto" and not trials.isdecimal():
        raise typer.BadParameter(f"must be a whole number, or auto, got {trials!r}")
    return trials


Trials = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|auto",
        callback=_counted_or_auto,
        help="Override search.trials, the total number of trials; auto ends the search by itself.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Override search.workers, the number of processes that score candidates."),
]
Trust = Annotated[
    bool, typer.Option("--trust-model", help="Go on with a fine-tuned model that scores no better than guessing.")
]
Name = Annotated[str | None, typer.Option(help="Override name, that of the study and of its folder below results.")]
Numbers = list[str] | None  # of an option that takes several, see `number_lists`
Results = Annotated[Path, typer.Option(help="Folder that holds the studies.")]
Study = Annotated[str, typer.Argument(help="Name of a study below --results, or the path of its folder.")]
_MOST_CLASSES = 12  # that are printed


def echo(text: str, *, err: bool = False) -> None:
    """Print a line, printable whatever it quotes."""
    typer.echo(printable(text), err=err)


@contextmanager
def started(config: Path, sets: list[str] | None, **given: object) -> Iterator[Pipeline]:
    """The stages of a run, which is locked for as long as the block runs; arguments as of `pipeline_of`."""
    pipeline = pipeline_of(config, sets, **given)
    with pipeline.run.lock():
        yield pipeline


def pipeline_of(config: Path, sets: list[str] | None, **given: object) -> Pipeline:
    """The stages of a run, none of which is done yet.

    given: values of options that override keys of the config; None and False leave these as they are.
    """
    from aebert.terminal import Terminal, quiet_libraries

    quiet_libraries()  # before what is imported next, which loads them
    from aebert.config import load_config
    from aebert.run.pipeline import Pipeline
    from aebert.studies.folder import CONFIG

    overrides = dict(_split(item) for item in sets or [])
    keys = {"model": "model.path", "trials": "search.trials", "workers": "search.workers"}
    keys |= {"name": "name", "trust": "model.trust"}
    overrides |= {keys[key]: str(value) for key, value in given.items() if value not in (None, False)}
    if not config.is_dir():
        return Pipeline(load_config(config, overrides), Terminal())
    # wherever the command is given: what `results` says from there may be another folder, with no run in it
    parent = config.parent if config.name.strip(".") else config.absolute().resolve().parent
    loaded = load_config(config / CONFIG, {"results": json.dumps(str(parent)), **overrides})
    if not {"name", "results"} & overrides.keys() and loaded.name != config.resolve().name:
        raise ConfigError(f"folder {config} must be called {loaded.name}, as its run is; rename it, or say --name")
    return Pipeline(loaded, Terminal())


def _split(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes KEY=VALUE such as search.trials=20, got {item!r}")
    return key, value


def print_report(found: Report) -> None:
    """Print all that is known of a study."""
    from aebert.reporting.files import files_table
    from aebert.reporting.overview import model_tables, search_tables
    from aebert.reporting.printing import print_tables
    from aebert.reporting.shipping import files_of

    files = [files_table(found)] if files_of(found) else []
    print_tables(*files, *search_tables(found), *model_tables(found, most_classes=_MOST_CLASSES))


def print_answer(found: Report, folder: Path) -> None:
    """Print which file of a finished run to ship, in three lines, and where the rest is."""
    from aebert.reporting.answer import best_file
    from aebert.reporting.best import Wish
    from aebert.reporting.printing import print_lines

    answer, shown = best_file(found, Wish()), shlex.quote(str(folder))
    bundle = "" if answer.file is None else f"\nIts bundle is {folder / 'bundles' / answer.file.name}."
    print_lines(*answer.lines)
    typer.echo(f"{bundle}\nThe page is {folder / 'front.html'}; all tables: aebert show {shown}")


def print_search(found: Report) -> None:
    """Print the Pareto front, and what the search found and won."""
    from aebert.reporting.overview import search_tables
    from aebert.reporting.printing import print_tables

    print_tables(*search_tables(found))


def _version(wanted: bool) -> None:
    if wanted:
        echo(f"aebert {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""

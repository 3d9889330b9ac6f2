"""The command that answers which file to ship."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Annotated

import typer

from aebert.cli.app import Results, Study, app
from aebert.cli.bundles import make
from aebert.errors import ConfigError

NOT_MET = 3  # exit code of --gate


@app.command()
def best(
    study: Study,
    results: Results = Path("results"),
    latency_ms: Annotated[float | None, typer.Option(help="Most milliseconds of a call (median).")] = None,
    size_mb: Annotated[float | None, typer.Option(help="Largest file, in MB of 10^6 bytes.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Least score on the report rows, as a share: 0.86.")] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(help="Most points that may be lost, by the whole 95 % interval; 1 unless --min-score is given."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Also write its bundle there, as a zip file if the name ends in .zip.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also look among the baselines that the finalists are held against.")
    ] = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 3 where no file keeps what was asked.")] = False,
) -> None:
    """Say which file to ship: the fastest one that keeps what is asked, and what it costs.

    Files are those of the dense model and the finalists, as they were measured and scored at the end of the run.
    """
    from aebert.reporting.best import Wish, best_file
    from aebert.studies.opening import open_report

    for name, value in (("latency-ms", latency_ms), ("size-mb", size_mb), ("max-loss", max_loss)):
        if (value is not None and not (value > 0 or (name == "max-loss" and value == 0))) or value == math.inf:
            raise ConfigError(f"--{name} must be a positive number, got {value:g}")
    if min_score is not None and not -1 <= min_score <= 1:
        raise ConfigError(f"--min-score must be a share such as 0.86, got {min_score:g}")
    if min_score is not None and max_loss is not None:
        raise ConfigError("give --min-score or --max-loss, not both")
    found, folder = open_report(study, results)
    wish = Wish(latency_ms, size_mb, min_score, 1.0 if max_loss is None else max_loss, baselines)
    answer = best_file(found, wish)
    for line in answer.lines:
        typer.echo(line)
    if answer.file is None:
        if gate:
            raise typer.Exit(NOT_MET)
        return
    if to is None:
        command = f"aebert bundle make {shlex.quote(str(folder))} --model {answer.file.name} --out FOLDER"
        typer.echo(f"Write its bundle with: {command}")
        return
    make(str(folder), results, answer.file.name, to)

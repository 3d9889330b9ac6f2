"""The command that answers which file to ship."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aebert.cli.app import Results, Study, app, echo
from aebert.cli.bundles import make
from aebert.errors import ConfigError

if TYPE_CHECKING:
    from aebert.reporting.best import Times
    from aebert.reporting.report import Report

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
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.yaml|TABLE.json",
            help="Times on it, not here: measured on its host, predicted by a latency table, or estimated.",
        ),
    ] = None,
    length: Annotated[int | None, typer.Option(help="With --device: tokens; by default the study's.")] = None,
    batch: Annotated[int, typer.Option(help="With --device: rows per request.")] = 1,
    threads: Annotated[int, typer.Option(help="With a latency table: threads; a device has its own.")] = 1,
    to: Annotated[
        Path | None, typer.Option(help="Also write its bundle there, as a zip file if the name ends in .zip.")
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Also look among the baselines that the finalists are held against.")
    ] = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 3 where no file keeps what was asked.")] = False,
) -> None:
    """Say which file to ship, and what it costs: the fastest one that keeps what is asked.

    Files are those of the dense model and the finalists, as they were measured and scored at the end of the run.
    """
    from aebert.reporting.answer import best_file
    from aebert.reporting.best import Wish
    from aebert.reporting.printing import print_lines
    from aebert.studies.opening import open_report

    for name, value in (("latency-ms", latency_ms), ("size-mb", size_mb), ("max-loss", max_loss)):
        if (value is not None and not (value > 0 or (name == "max-loss" and value == 0))) or value == math.inf:
            raise ConfigError(f"--{name} must be a positive number, got {value:g}")
    for name, count in (("length", length), ("batch", batch), ("threads", threads)):
        if count is not None and count < 1:
            raise ConfigError(f"--{name} must be a whole number above 0, got {count}")
    if min_score is not None and not -1 <= min_score <= 1:
        raise ConfigError(f"--min-score must be a share such as 0.86, got {min_score:g}")
    if device is None and (length is not None or batch != 1 or threads != 1):
        raise ConfigError("--length, --batch and --threads go with --device; times here are those of the run's end")
    found, folder = open_report(study, results)
    wish = Wish(latency_ms, size_mb, min_score, max_loss, baselines)
    times = None if device is None else _times(found, folder, device, length, batch, threads)
    answer = best_file(found, wish, times)
    print_lines(*answer.lines)
    if answer.file is None:
        if gate:
            raise typer.Exit(NOT_MET)
        return
    if to is None:
        command = f"aebert bundle make {shlex.quote(str(folder))} --model {answer.file.name} --out FOLDER"
        echo(f"Write its bundle with: {command}")
        return
    make(str(folder), results, answer.file.name, to)


def _times(found: Report, folder: Path, device: str, length: int | None, batch: int, threads: int) -> Times | None:
    from aebert.latency.workload import Workload
    from aebert.studies.device_times import device_times
    from aebert.terminal import Terminal

    workload = Workload(found.info.length if length is None else length, batch, threads)
    return device_times(found, folder, device, workload, Terminal())

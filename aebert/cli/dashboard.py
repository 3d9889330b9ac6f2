"""The command that opens a study in optuna-dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aebert.cli.app import Results, Study, app, echo


@app.command()
def dashboard(
    study: Study,
    results: Results = Path("results"),
    live: Annotated[
        bool,
        typer.Option("--live", help="Show the database itself, and change it where you do."),
    ] = False,
    host: Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve at.")] = 8080,
) -> None:
    """Open a study in optuna-dashboard, as a copy that reads well.

    Trials have flat attributes and a note with their architecture and interval; metrics have names. It needs the extra
    `dashboard`.
    """
    from aebert.studies.dashboard import serve

    for line in serve(study, results, live=live, host=host, port=port):
        echo(line)

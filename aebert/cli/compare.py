"""The command that puts studies side by side. Models are measured against each other by `aebert profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from aebert.cli.app import Results, app, echo
from aebert.errors import ConfigError


@app.command()
def compare(
    studies: Annotated[
        list[str], typer.Argument(metavar="STUDY STUDY...", help="Names of studies below --results, or their folders.")
    ],
    results: Results = Path("results"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables in Markdown.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Also draw all fronts in one picture: OUT.png and OUT.svg."),
    ] = None,
    over: Annotated[
        Literal["ms", "mb", "macs", "removed"], typer.Option(help="What the picture is drawn over.")
    ] = "ms",
) -> None:
    """Compare the files that studies ship: scores with intervals, times, sizes, fronts.

    Differences are from what `aebert best` names in the first study, row by row where both answered the same report
    rows. To measure files against each other, use `aebert profile`.
    """
    from aebert.reporting.printing import print_tables
    from aebert.reporting.side_by_side import markdown as in_markdown
    from aebert.reporting.side_by_side import side_by_side_tables
    from aebert.studies.side_by_side import compare_studies

    models = [each for each in studies if Path(each).suffix in (".onnx", ".zip", ".yaml", ".yml")]
    if models:
        raise ConfigError(f"compare takes studies, got {models[0]}; `aebert profile` measures models and files")
    found = compare_studies(studies, results)
    tables = side_by_side_tables(found)
    if markdown:
        echo("\n\n".join(map(in_markdown, tables)))
    else:
        print_tables(*tables)
    if out is not None:
        from aebert.reporting.pictures import write_pictures
        from aebert.reporting.side_by_side_plot import side_by_side_figure

        for path in write_pictures(side_by_side_figure(found, over), out, "Files side by side"):
            echo(str(path), err=markdown)

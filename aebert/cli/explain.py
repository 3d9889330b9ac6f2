"""`aebert explain`: why a sub-network is not as much faster as it is smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aebert.cli.app import app, echo


@app.command()
def explain(
    file: Annotated[Path, typer.Argument(help="ONNX file or bundle of a sub-network.")],
    dense: Annotated[
        Path | None, typer.Option(help="ONNX file or bundle of the dense model; by default dense.onnx beside FILE.")
    ] = None,
    length: Annotated[int, typer.Option(min=1, help="Tokens of each sequence.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Sequences of a request.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Number of threads; 1 thread is measured too.")] = 1,
    runs: Annotated[int, typer.Option(min=3, help="Timed requests of each file.")] = 50,
    expected: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Expected speedup of a cost table; by default it is computed by counting products."
        ),
    ] = None,
) -> None:
    """Say why a sub-network is not as fast as it is small.

    Its measured speedup is compared with the expected one; only causes that can be proved are named.
    """
    from aebert.explain.causes import explain as explained
    from aebert.explain.gathering import find_graph, gather

    small = find_graph(file)
    full = find_graph(dense) if dense is not None else small.with_name("dense.onnx")
    facts = gather(full, small, length=length, batch=batch, threads=threads, runs=runs, expected=expected)
    for line in explained(facts).lines():
        echo(line)

"""Commands about devices: the ones that are known, and what a study's sub-networks would cost on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aebert.cli.base import Results, Study, app

devices_app = typer.Typer(help="List the devices; show one, or estimate a study's front on it.", rich_markup_mode=None)
app.add_typer(devices_app, name="devices", invoke_without_command=True)

DeviceName = Annotated[str, typer.Argument(help="Name of a device, or the path of a device file (YAML).")]


@devices_app.callback(invoke_without_command=True)
def _list(context: typer.Context) -> None:
    """List the devices; `show` one, or `estimate` a study's front on one that isn't at hand."""
    if context.invoked_subcommand is not None:
        return
    from aebert.profiling.devices import device_names, load_device
    from aebert.reporting.devices import devices_table
    from aebert.reporting.tables import print_table

    print_table(devices_table([load_device(name) for name in device_names()]))
    typer.echo("own devices: the path of a YAML file with name, and host or estimate")


@devices_app.command()
def show(device: DeviceName) -> None:
    """Show a device: its parameters, their source, assumptions, and errors against published times."""
    from aebert.profiling.devices import load_device
    from aebert.reporting.devices import device_detail
    from aebert.reporting.tables import print_table

    print_table(device_detail(load_device(device)))


@devices_app.command()
def estimate(
    study: Study,
    device: Annotated[str, typer.Option(help="Name of a device that has a model, or its YAML file.")],
    length: Annotated[int | None, typer.Option(help="Tokens of a sequence; by default the study's.")] = None,
    batch: Annotated[int, typer.Option(help="Sequences of a request.")] = 1,
    precision: Annotated[str, typer.Option(help="float32, int16 or int8, as the device has.")] = "int8",
    results: Results = Path("results"),
) -> None:
    """Print a study's Pareto front with its estimated latency on a device that isn't at hand."""
    from aebert.models.stored import stored_shape
    from aebert.profiling.devices import load_device
    from aebert.reporting.devices import estimated_front, estimates_table
    from aebert.reporting.tables import print_table
    from aebert.summary import open_report

    board = load_device(device)
    found, folder = open_report(study, results)
    shape = stored_shape(folder / "dense")
    priced = estimated_front(found, shape, board, length=length, batch=batch, precision=precision)
    print_table(estimates_table(found, priced))

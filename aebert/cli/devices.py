"""Commands about devices: the ones that are known, and what is known of them."""

from __future__ import annotations

from typing import Annotated

import typer

from aebert.cli.app import app

devices_app = typer.Typer(help="List the devices, or show one.", rich_markup_mode=None)
app.add_typer(devices_app, name="devices", invoke_without_command=True)

DeviceName = Annotated[str, typer.Argument(help="Name of a device, or the path of a device file (YAML).")]


@devices_app.callback(invoke_without_command=True)
def _list(context: typer.Context) -> None:
    """List the devices, or `show` one; `aebert pareto --device` prices a study's candidates on it."""
    if context.invoked_subcommand is not None:
        return
    from aebert.latency.devices import device_names, load_device
    from aebert.reporting.devices import devices_table
    from aebert.reporting.printing import print_tables

    print_tables(devices_table([load_device(name) for name in device_names()]))


@devices_app.command()
def show(device: DeviceName) -> None:
    """Show a device: its parameters, their source, assumptions, and errors against published times."""
    from aebert.latency.devices import load_device
    from aebert.reporting.devices import device_detail
    from aebert.reporting.printing import print_tables

    print_tables(device_detail(load_device(device)))

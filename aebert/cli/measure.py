"""The command that measures a run's exported files, or any models, here or on another host."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aebert.cli.app import Numbers, Set, app, started
from aebert.cli.number_lists import numbers
from aebert.errors import ConfigError

if TYPE_CHECKING:
    from aebert.compare.comparison import Settings
    from aebert.compare.remote import Host

Targets = Annotated[
    list[Path],
    typer.Argument(
        metavar="TARGET...",
        help="A run (YAML config or its folder), ONNX file, bundle (folder or ZIP) or checkpoint folder. Several are "
        "compared with the first.",
    ),
]


@app.command()
def profile(
    targets: Targets,
    lengths: Annotated[Numbers, typer.Option(metavar="N,N", help="Tokens of each sequence; by default 32,128.")] = None,
    batches: Annotated[Numbers, typer.Option(metavar="N,N", help="Sequences of a request; by default 1.")] = None,
    threads: Annotated[
        Numbers, typer.Option(metavar="N,N", help="Threads of a model; by default 1, or the device file's.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option(help="Timed requests of each length, batch and thread count; by default 50.")
    ] = None,
    warmup: Annotated[int | None, typer.Option(help="Untimed requests before those; by default 5.")] = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="Number of token ids to draw from; by default what the models know.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="FILE.yaml", help="Device file with the host to measure on; other options win over it."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Host to measure on, over ssh: board or user@board.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the host's ssh server.")] = None,
    identity: Annotated[Path | None, typer.Option(help="Private key for the host.")] = None,
    ssh_config: Annotated[
        Path | None, typer.Option(help="Configuration of ssh to use instead of ~/.ssh/config.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="Python on the host, 3.9 or newer, with onnxruntime; by default python3.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds without a sign of life after which the host is given up.")
    ] = 30.0,
    out: Annotated[Path | None, typer.Option(help="Also write FILE.json (everything) or FILE.csv (the times).")] = None,
    sets: Set = None,
) -> None:
    """Measure models against each other, all interleaved.

    The figures are latency, throughput, load time, size, memory and energy.

    A run alone is measured on its task's own rows; everything else on random token ids.
    """
    given = {"lengths": lengths, "batches": batches, "threads": threads}
    values: dict[str, Any] = {name: numbers(texts, f"--{name}") for name, texts in given.items() if texts}
    values |= {name: n for name, n in (("runs", runs), ("warmup", warmup), ("vocabulary", vocabulary)) if n is not None}
    here = device is None and host is None
    if len(targets) == 1 and _is_run(targets[0]) and not values and here and out is None:
        _profile_run(targets[0], sets)
        return
    from aebert.compare.comparison import Settings
    from aebert.compare.remote import Host

    asked = {"address": host, "port": port, "identity": identity, "python": python}
    reach: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if device is not None:
        if host is not None:
            raise ConfigError(f"give --device or --host, got both, {device} and {host}")
        connection, used = _measured(device)
        reach, values = {**connection, **reach}, {"threads": (used,), **values}
    place = Host(**reach, timeout=timeout, config=ssh_config) if "address" in reach else None
    _compare(targets, sets, Settings(**values), place, out)


def _measured(name: str) -> tuple[dict[str, Any], int]:
    """The arguments of `Host` that a device file gives (none for this machine), and its number of threads."""
    from aebert.compare.remote import host_arguments
    from aebert.latency.devices import load_device

    device = load_device(name)
    if device.estimate is not None:
        raise ConfigError(
            f"device {device.name!r} must name a host to measure on, it is an {device.way}; `aebert pareto STUDY "
            f"--device {name}` prices with it"
        )
    if device.host is None:
        return {}, device.threads
    return host_arguments(device), device.threads


def _is_run(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") or (path / "config.yaml").is_file()


def _profile_run(config: Path, sets: list[str] | None) -> None:
    with started(config, sets) as work:
        from aebert.reporting.printing import print_tables
        from aebert.reporting.profiles import profiles_table
        from aebert.run.report import build_report

        print_tables(profiles_table(build_report(work)))


def _compare(
    paths: list[Path], sets: list[str] | None, settings: Settings, host: Host | None, out: Path | None
) -> None:
    from aebert.compare.comparison import compare
    from aebert.compare.targets import opened
    from aebert.reporting.comparisons import check_format, comparison_tables, write_comparison
    from aebert.reporting.printing import print_tables
    from aebert.terminal import Terminal

    if out is not None:
        check_format(out)
    if sets and not any(map(_is_run, paths)):
        raise ConfigError("--set needs a run's config among the targets, got none")
    with ExitStack() as stack:
        files = [file for path in paths for file in (_exported(path, sets, stack) if _is_run(path) else [path])]
        found = compare(stack.enter_context(opened(files)), settings, host=host, progress=Terminal())
    print_tables(*comparison_tables(found))
    if out is not None:
        write_comparison(found, out)


def _exported(config: Path, sets: list[str] | None, stack: ExitStack) -> list[Path]:
    """All files that a run ships. The run stays locked until they are measured."""
    return list(stack.enter_context(started(config, sets)).export.files.values())

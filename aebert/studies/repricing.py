"""What the scored candidates of a study cost by other measures; nothing is scored again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from aebert.errors import ConfigError, StudyError
from aebert.latency.sources import PriceSource, price_source
from aebert.latency.table import LatencyTable
from aebert.latency.table_files import read_table
from aebert.latency.workload import FileForm, Workload
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import block_bytes, fixed_bytes
from aebert.registry import nearest
from aebert.reporting.report import Report
from aebert.reporting.repricing import Repricing
from aebert.reporting.tables import full_architecture
from aebert.search.kinds import KINDS, Kind
from aebert.search.record import TrialRecord
from aebert.studies.folder import DENSE, TABLE, stored_config

LATENCY = "latency_ms"  # the kind of budget that a device prices


def parse_budgets(texts: Sequence[str]) -> dict[str, list[float]]:
    """Budgets written as `latency_ms=8`, by kind. Raises: ConfigError for an unknown kind or a value out of range."""
    found: dict[str, list[float]] = {}
    for text in texts:
        kind, _, value = text.partition("=")
        if kind not in KINDS:
            hint = nearest(kind, list(KINDS))
            raise ConfigError(f"--budget takes KIND=VALUE with one of {', '.join(KINDS)}, got {text!r}{hint}")
        found.setdefault(kind, []).append(_target(KINDS[kind], value, text))
    return found


def _target(kind: Kind, value: str, text: str) -> float:
    try:
        target = float(value)
    except ValueError:
        target = math.nan
    if not (0 <= target < 1 if kind.is_share else 0 < target < math.inf):
        rule = "a share in 0..1" if kind.is_share else "a number above 0"
        raise ConfigError(f"--budget {kind.name} must be {rule}, got {text!r}")
    return target


def reprice(
    found: Report,
    folder: Path,
    device: str | None,
    kinds: Iterable[str],
    workload: Workload,
    form: FileForm | None = None,
) -> dict[str, Repricing]:
    """What the candidates of a study cost by each kind of budget; by milliseconds too where a device is given.

    device: as `search.budget.device`; by default the study's own. workload: what milliseconds are of. form: of the
    files; by default that of a latency table, else the form that the study ships.

    Raises: ConfigError when milliseconds are asked for and there are no such prices for the study's encoder; StudyError
    when sizes are asked for and the study's folder has no dense model.
    """
    first = [LATENCY] if device else []
    prices = {}
    for name in dict.fromkeys([*first, *kinds]):
        kind = KINDS[name]
        if kind.is_priced:
            shape = dense_shape(folder)
            prices[name] = latency_prices(found, device_source(folder, device, shape, form), workload, shape, form)
        elif kind.is_size:
            prices[name] = size_prices(found, dense_shape(folder), form or stored_config(folder).form)
        else:
            prices[name] = counted_prices(found, name)
    return prices


def dense_shape(folder: Path) -> ModelShape | None:
    """The shape of a study's dense model; None where its folder has none."""
    if not (folder / DENSE).is_dir():
        return None
    from aebert.models.stored import stored_shape  # here, since it takes torch, and most folders are read without

    return stored_shape(folder / DENSE)


def device_source(folder: Path, device: str | None, shape: ModelShape | None, form: FileForm | None) -> PriceSource:
    """The prices of a device, by default of the study's own."""
    config = stored_config(folder)
    return price_source(device or config.search.budget.device, shape, form or config.form, lambda: _own_table(folder))


def _own_table(folder: Path) -> LatencyTable:
    if not (folder / TABLE).is_file():
        raise ConfigError(
            "latency_ms needs --device TABLE.json or a device with an estimate, since this study has no table of its "
            "own; make one with `aebert latency-table`"
        )
    return read_table(folder / TABLE)


def latency_prices(
    report: Report,
    source: PriceSource,
    workload: Workload,
    shape: ModelShape | None = None,
    form: FileForm | None = None,
) -> Repricing:
    """Milliseconds of every candidate, predicted or estimated.

    shape: of the study's encoder; where it isn't at hand, only the numbers of units are compared with the source's.
    form: of the files; by default the source's own.

    Raises: ConfigError when the source is of another encoder or form, or does not cover the workload.
    """
    source.check(shape, form or source.form, workload)
    full = full_architecture(report)
    if full is not None and full != source.dense:
        raise ConfigError(
            f"prices must be of the study's encoder: those on {source.name} are of {_units(source.dense)}, the study "
            f"has {_units(full)}"
        )
    about = "\n".join(source.remarks(workload))
    return _repriced(
        report, LATENCY, lambda each: source.predict(each.architecture, workload), about, estimated=source.estimated
    )


def _units(full: Architecture) -> str:
    return f"heads {list(full.heads)} and ffn {list(full.ffn)}"


def size_prices(report: Report, shape: ModelShape | None, form: FileForm) -> Repricing:
    """The size of every candidate's file, by counting.

    Raises: StudyError without the shape of the dense model, whose embeddings are most of a file.
    """
    if shape is None:
        raise StudyError(f"sizes of study {report.info.name!r} can't be counted: its folder has no dense model")
    about = f"MB of 10^6 bytes of the {form} file"
    return _repriced(report, "size_mb", lambda each: _megabytes(each.architecture, shape, int8=form == "int8"), about)


def _megabytes(architecture: Architecture, shape: ModelShape, *, int8: bool) -> float:
    widths = (*architecture.heads, *architecture.ffn)
    blocks = sum(block_bytes(shape, block, width, int8=int8) for block, width in enumerate(widths))
    return (fixed_bytes(shape, int8=int8) + blocks) / 1e6


def counted_prices(report: Report, kind: str) -> Repricing:
    """Parameters of every candidate, or the share of the dense model's parameters or MACs that is removed."""
    counted = KINDS[kind].counted
    if counted is None:
        raise ValueError(f"{kind} must be a kind of budget that a trial's counts tell")
    about = {"macs": f"counted at {report.info.length} tokens"}.get(kind, "counted")
    return _repriced(report, kind, counted, about)


def _repriced(
    report: Report, kind: str, cost: Callable[[TrialRecord], float], about: str, *, estimated: bool = False
) -> Repricing:
    info = replace(report.info, budget_kind=kind, estimated=estimated, step=0.0)
    trials = tuple(replace(each, cost=cost(each)) for each in report.trials)
    return Repricing(replace(report, info=info, trials=trials), about)

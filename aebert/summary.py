"""Putting a run's results together: the report, its files, and reports of studies on disk."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aebert import __version__
from aebert.config import THIS_DEVICE, BudgetKind, load_config, plain
from aebert.config import digest as values_digest
from aebert.errors import AebertError, ConfigError, NoStudyError, StudyError
from aebert.flatbuffers import FlatBuffers
from aebert.latency.devices import Device
from aebert.latency.sources import EstimatedPrices, price_source
from aebert.latency.table import FileForm, LatencyTable, Workload, read_table
from aebert.models.shape import ModelShape
from aebert.models.stored import stored_shape
from aebert.packing import bundles
from aebert.pipeline import CONFIG, DENSE, Finalist, Run
from aebert.pricing import TABLE, form_of
from aebert.pruning.architecture import Architecture
from aebert.reporting.documents import read_summary_json, write_front_csv, write_summary_json
from aebert.reporting.page import write_front_html
from aebert.reporting.plot import write_front_png
from aebert.reporting.report import FinalistRow, ProfileRow, Report
from aebert.reporting.repricing import Repricing, counted_prices, estimated_prices, latency_prices
from aebert.search.record import TrialRecord
from aebert.search.storage import StudyDatabase, sqlite_url
from aebert.shipment import INT8, Shipment
from aebert.tasks.task import ROLES

SUMMARY = "summary.json"


def report(run: Run) -> Report:
    """Stage 9, and all before it: the report of a finished run, with its files written beside it."""
    shipment = Shipment(run)
    finished = build_report(shipment)
    write_files(finished, run.folder, summary=True)
    bundles(run, shipment)
    return finished


def build_report(shipment: Shipment) -> Report:
    """The report of a run; stages that are not done yet are done now."""
    run = shipment.run
    (trials, verdicts), info = run.study, run.setup.info
    return Report(
        info=info,
        trials=tuple(trials),
        finalists=tuple(_finalist_rows(run, trials, shipment)),
        profiles=(*_profile_rows(shipment, run.task.spec.headline), *FlatBuffers(shipment).rows()),
        machine=_machine(shipment.profiles),
        provenance=_provenance(run),
        rows={role: len(run.task.rows[role]) for role in ROLES},
        verdicts=tuple(verdicts),
        forms=shipment.forms,
    )


def write_files(finished: Report, folder: Path, *, summary: bool) -> dict[str, Path]:
    """Write the front as CSV, PNG and HTML, and with `summary` the whole report as JSON; the paths by kind."""
    paths = {kind: folder / f"front.{kind}" for kind in ("csv", "png", "html")}
    write_front_csv(finished, paths["csv"])
    write_front_png(finished, paths["png"])
    write_front_html(finished, paths["html"])
    if summary:
        paths["json"] = folder / SUMMARY
        write_summary_json(finished, paths["json"])
    return paths


def open_report(study: str, results: Path) -> tuple[Report, Path]:
    """The report of a study as far as it is, and its folder.

    study: name of a folder below `results`, or a path to one. Trials come from the database, also while a search is
    running; finalists and profiles from the last summary. Where there is no database (results that were only copied),
    everything comes from the summary.
    """
    folder = Path(study) if (Path(study) / CONFIG).is_file() else results / study
    if not (folder / CONFIG).is_file() and not (folder / SUMMARY).is_file():
        known = ", ".join(sorted(path.parent.name for path in results.glob(f"*/{CONFIG}"))) or "none"
        raise StudyError(f"study {study!r} must be a folder in {results} or a path, got neither; there: {known}")
    stored = read_summary_json(folder / SUMMARY) if (folder / SUMMARY).is_file() else None
    live = _live_report(folder)
    if live is None:
        if stored is None:
            raise StudyError(f"study {study!r} has no trials yet: run `aebert search {folder / CONFIG}`")
        return stored, folder
    if stored is not None and stored.info.name == live.info.name:
        live = replace(stored, info=live.info, trials=live.trials, verdicts=live.verdicts)
    return live, folder


def _live_report(folder: Path) -> Report | None:
    if not (folder / CONFIG).is_file():
        return None
    config = load_config(folder / CONFIG)
    database = folder / "study.db"
    if config.search.storage is None and not database.is_file():
        return None
    try:
        with StudyDatabase.load(config.search.storage or sqlite_url(database), config.name) as found:
            return Report(found.info, tuple(found.records()), verdicts=tuple(found.verdicts()))
    except NoStudyError:  # started, but its search is not
        return None


def reprice(
    found: Report,
    folder: Path,
    device: str | None,
    kinds: Sequence[BudgetKind],
    way: tuple[int | None, int, int],
    form: FileForm | None = None,
) -> dict[BudgetKind, Repricing]:
    """What the candidates of a study cost by other measures, by kind; nothing is scored again.

    device: a latency table, or a device that has a model, as `search.budget.device`; by default, for latency_ms, the
    study's own. way: length (None: the study's), batch, threads. form: of the files; by default that of
    the table, else what the study ships.

    Raises: ConfigError when milliseconds are asked for and nothing tells them, or what does is not of this study.
    """
    first: list[BudgetKind] = ["latency_ms"] if device else []
    wanted = list(dict.fromkeys([*first, *kinds]))
    shape, prices = stored_shape(folder / DENSE), dict[BudgetKind, Repricing]()
    for kind in wanted:
        if kind == "latency_ms":
            setting = Workload(found.info.length if way[0] is None else way[0], *way[1:])
            prices[kind] = _milliseconds(found, _source(device, folder), setting, shape, folder, form)
        else:
            prices[kind] = counted_prices(found, kind, shape, int8=(form or _shipped(folder)) == "int8")
    return prices


def _milliseconds(
    found: Report,
    source: LatencyTable | Device,
    setting: Workload,
    shape: ModelShape | None,
    folder: Path,
    form: FileForm | None,
) -> Repricing:
    if isinstance(source, LatencyTable):
        if form not in (None, source.form):
            raise ConfigError(f"--form must be that of the latency table, {source.form}, got {form}; leave it out")
        return latency_prices(found, source, setting, shape)
    if shape is None:
        raise StudyError(f"study {found.info.name!r} can't be estimated: its folder has no dense model")
    return estimated_prices(found, EstimatedPrices(source, shape, form or _shipped(folder)), setting)


def _source(device: str | None, folder: Path) -> LatencyTable | Device:
    """What tells milliseconds: of the device that is asked for, else of the study's own."""
    found = price_source(device or _own_device(folder))
    if found is not None:
        return found
    if not (folder / TABLE).is_file():
        raise ConfigError(
            "latency_ms needs --device TABLE.json or a device with an estimate, since this study has no table of its "
            "own; make one with `aebert latency-table`"
        )
    return read_table(folder / TABLE)


def _own_device(folder: Path) -> str:
    return load_config(folder / CONFIG).search.budget.device if (folder / CONFIG).is_file() else THIS_DEVICE


def _shipped(folder: Path) -> FileForm:
    return form_of(load_config(folder / CONFIG)) if (folder / CONFIG).is_file() else "int8"


def open_reports(results: Path) -> tuple[list[Report], list[str]]:
    """Reports of all studies below `results`, and one line for each that can't be read."""
    reports, problems = [], []
    for folder in sorted({path.parent for name in (CONFIG, SUMMARY) for path in results.glob(f"*/{name}")}):
        try:
            reports.append(open_report(str(folder), results)[0])
        except AebertError as error:
            problems.append(f"{folder.name}: {error}")
    return reports, problems


def _finalist_rows(run: Run, trials: list[TrialRecord], shipment: Shipment) -> list[FinalistRow]:
    dense = next(record for record in trials if record.origin == "dense")
    rows = [_finalist_row(finalist, shipment, run.task.spec.headline) for finalist in run.finalists]
    return [_dense_row(run, dense, shipment), *_choose(rows)]


def _finalist_row(finalist: Finalist, shipment: Shipment, metric: str) -> FinalistRow:
    trial = finalist.trial
    return FinalistRow(
        name=finalist.name,
        trial=trial.number,
        architecture=trial.architecture,
        budget=trial.budget,
        sparsity=trial.sparsity,
        macs_removed=trial.macs_removed,
        params=trial.params,
        search_score=trial.metrics[metric],
        select_score=finalist.select_metrics[metric],
        predicted_ms=trial.cost if shipment.run.setup.info.budget_kind == "latency_ms" else None,
        measured_ms=shipment.confirmed.get(finalist.name, {}).get("median_ms"),
        **_reported(shipment, finalist.name),
    )


def _dense_row(run: Run, trial: TrialRecord, shipment: Shipment) -> FinalistRow:
    metric = run.task.spec.headline
    return FinalistRow(
        name=DENSE,
        trial=None,
        architecture=Architecture.dense(run.dense.shape),
        budget=None,
        sparsity=0.0,
        macs_removed=0.0,
        params=trial.params,
        search_score=trial.metrics[metric],
        select_score=run.dense_select_metrics[metric],
        **_reported(shipment, DENSE),
    )


def _reported(shipment: Shipment, name: str) -> dict[str, Any]:
    """Metrics of a model's files on the report rows, as fields of its row."""
    values = {}
    for kind, prefix in (("", "report"), (INT8, "int8_report")):
        found = shipment.reported.get(name + kind)
        if found is not None:
            values[f"{prefix}_metrics"] = found["metrics"]
            values[f"{prefix}_interval"] = tuple(found["interval"]) if found["interval"] else None
    return values


def _choose(rows: list[FinalistRow]) -> list[FinalistRow]:
    """Mark the best of each budget on the select rows; the report rows have no say.

    What keeps a latency budget when it is measured comes before what does not.
    """
    best: dict[float | None, FinalistRow] = {}
    for row in rows:
        leader = best.get(row.budget)
        if leader is None or _rank(row) > _rank(leader):
            best[row.budget] = row
    return [replace(row, chosen=best[row.budget] is row) for row in rows]


def _rank(row: FinalistRow) -> tuple[bool, float]:
    return row.meets_budget is not False, row.select_score or 0.0


def _profile_rows(shipment: Shipment, metric: str) -> list[ProfileRow]:
    rows = []
    for measured in shipment.profiles["profiles"]:
        name = measured["name"].removesuffix(INT8)
        faster = None if measured["name"] == DENSE else measured["speedup"]
        rows.append(
            ProfileRow(
                name=name,
                kind="int8" if measured["name"].endswith(INT8) else "float32",
                size_bytes=measured["size_bytes"],
                p50_ms=measured["p50_ms"],
                p90_ms=measured["p90_ms"],
                p99_ms=measured["p99_ms"],
                throughput_per_s=measured["throughput_per_s"],
                peak_memory_bytes=measured["peak_memory_bytes"],
                speedup=faster and faster["median"],
                speedup_low=faster and faster["p10"],
                speedup_high=faster and faster["p90"],
                report_score=shipment.reported[measured["name"]]["metrics"][metric],
            )
        )
    return rows


def _machine(measured: Mapping[str, Any]) -> dict[str, Any]:
    first = measured["profiles"][0]
    facts = {key: first[key] for key in ("threads", "batch_size", "runs", "warmup", "lengths")}
    return {**measured["machine"], **facts, "all_runs_quiet": all(p["quiet"] for p in measured["profiles"])}


def _provenance(run: Run) -> dict[str, Any]:
    seconds: Mapping[str, float] = {
        DENSE: run.dense.seconds,
        "search": sum(record.seconds for record in run.trials),
        **{finalist.name: finalist.seconds for finalist in run.finalists},
    }
    return {
        "aebert": __version__,
        "config": values_digest(plain(run.config)),
        "seed": run.config.seed,
        "data": dict(run.task.digests),
        "dense_weights": run.dense.digest,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }

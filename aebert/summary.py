"""Reports of studies on disk, and their candidates priced by other measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aebert.config import THIS_DEVICE, load_config
from aebert.errors import AebertError, ConfigError, NoStudyError, StudyError
from aebert.latency.devices import Device
from aebert.latency.sources import EstimatedPrices, price_source
from aebert.latency.table import FileForm, LatencyTable, Workload, read_table
from aebert.models.shape import ModelShape
from aebert.models.stored import stored_shape
from aebert.reporting.documents import SUMMARY, read_summary_json
from aebert.reporting.report import Report
from aebert.reporting.repricing import Repricing, counted_prices, estimated_prices, latency_prices
from aebert.run.dense import DENSE
from aebert.run.prices import TABLE, form_of
from aebert.run.run import CONFIG
from aebert.search.storage import StudyDatabase, sqlite_url


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
    kinds: Sequence[str],
    way: tuple[int | None, int, int],
    form: FileForm | None = None,
) -> dict[str, Repricing]:
    """What the candidates of a study cost by other measures, by kind; nothing is scored again.

    device: a latency table, or a device that has a model, as `search.budget.device`; by default, for latency_ms, the
    study's own. way: length (None: the study's), batch, threads. form: of the files; by default that of
    the table, else what the study ships.

    Raises: ConfigError when milliseconds are asked for and nothing tells them, or what does is not of this study.
    """
    first: list[str] = ["latency_ms"] if device else []
    wanted = list(dict.fromkeys([*first, *kinds]))
    shape, prices = stored_shape(folder / DENSE), dict[str, Repricing]()
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

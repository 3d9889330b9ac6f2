"""A study in optuna-dashboard: a copy that reads well, in memory, or the database itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aebert.errors import ConfigError, OutputError, StudyError
from aebert.pruning.architecture import Architecture
from aebert.reporting import units
from aebert.reporting.intervals import score_interval
from aebert.reporting.report import Report
from aebert.reporting.tables import headline, scored_on
from aebert.search.connections import database_errors, engine_options, sqlite_url
from aebert.search.kinds import KINDS
from aebert.search.record import TrialRecord
from aebert.studies.folder import DATABASE, stored_config
from aebert.studies.opening import open_report

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import InMemoryStorage
    from optuna.trial import FrozenTrial

_METRICS = ("score", "share removed")  # names of what the search maximizes, the second one with several budgets


def database_url(folder: Path) -> str:
    """URL of a study's database. Raises: StudyError where the folder has none."""
    storage = stored_config(folder).search.storage
    if storage is None and not (folder / DATABASE).is_file():
        raise StudyError(f"{folder / DATABASE} must be there: a dashboard shows the study's database")
    return storage or sqlite_url(folder / DATABASE)


def serve(study: str, results: Path, *, live: bool, host: str, port: int) -> Iterator[str]:
    """Serve a study until the process is interrupted; yields the one line to print before that.

    live: the database itself, as optuna-dashboard shows it, where changes are changes of the study; else a copy.

    Raises: ConfigError where optuna-dashboard is not installed; OutputError where the port is taken; StudyError.
    """
    report, folder = open_report(study, results)
    url = database_url(folder)
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise ConfigError(
            "aebert dashboard needs optuna-dashboard: pip install 'aebert[dashboard]' (or pip install optuna-dashboard)"
        ) from None
    shown = url if live else readable_copy(report, url)
    what = "the database itself" if live else f"a copy of {len(report.trials)} trials as they are now"
    yield f"http://{host}:{port}/dashboard shows {what}; Ctrl-C ends it"
    try:
        run_server(shown, host=host, port=port)
    except OSError as error:
        raise OutputError(f"port {port} of {host} is taken: {error.strerror}; choose another with --port") from error


def readable_copy(report: Report, url: str) -> InMemoryStorage:
    """A copy of a study in memory, for people: flat attributes, named metrics, and a note for each trial.

    report: of the study. url: of its database, which is only read. Trials that failed keep their place and have no
    attributes. What aebert keeps for itself, as the outcomes of each row, is left out.
    """
    import optuna  # here, since listing studies does without it
    from optuna.storages import InMemoryStorage, RDBStorage

    name, storage = report.info.name, InMemoryStorage()
    with _quiet(), database_errors(url):
        database = RDBStorage(url, engine_kwargs=engine_options(url))
        source = optuna.load_study(study_name=name, storage=database)
        sampler = optuna.samplers.RandomSampler()  # none is asked, and this one costs nothing
        copy = optuna.create_study(storage=storage, study_name=name, directions=source.directions, sampler=sampler)
        copy.set_metric_names(list(_METRICS[: len(source.directions)]))
        records = {record.number: record for record in report.trials}
        copy.add_trials([_shown(trial, records.get(trial.number), report) for trial in source.get_trials()])
        database.remove_session()
        database.engine.dispose()
        _write_notes(copy, storage, records, report)
    return storage


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's log lines off the terminal, and its warning that names of metrics may change."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
    optuna.logging.set_verbosity(before)


def _shown(trial: FrozenTrial, record: TrialRecord | None, report: Report) -> FrozenTrial:
    trial.user_attrs = {} if record is None else dict(attributes(record, report))
    trial.system_attrs = {}
    return trial


def attributes(record: TrialRecord, report: Report) -> Iterator[tuple[str, Any]]:
    """What a table of trials shows of one, each a number or a few words; unknown ones are left out."""
    kind = KINDS[report.info.budget_kind]
    yield "origin", record.origin
    yield "budget", units.budget(record.budget, report.info.budget_kind)
    yield report.info.metric, round(headline(record, report.info), 5)
    yield "score", round(record.score, 5)
    if record.std_error is not None and not math.isnan(record.std_error):
        yield "std_error", round(record.std_error, 5)
    yield "params_m", round(record.params / 1e6, 3)
    yield "parameters_removed", round(record.sparsity, 4)
    yield "macs_removed", round(record.macs_removed, 4)
    if record.cost is not None and kind.is_of_file:  # latency_ms, size_mb
        yield kind.name, round(record.cost, 4)
    if record.stopped_at is not None:
        yield "stopped_at", record.stopped_at
    yield "seconds", round(record.seconds, 2)


def _write_notes(copy: Study, storage: InMemoryStorage, records: Mapping[int, TrialRecord], report: Report) -> None:
    from optuna.trial import Trial
    from optuna_dashboard import save_note

    study = storage.get_study_id_from_name(copy.study_name)
    save_note(copy, "\n".join(_study_note(report)))
    for number, record in records.items():
        trial = Trial(copy, storage.get_trial_id_from_study_id_trial_number(study, number))
        save_note(trial, note(record, report))


def _study_note(report: Report) -> Iterator[str]:
    info = report.info
    budgets = ", ".join(units.budget(target, info.budget_kind) for target in info.targets)
    yield f"**{info.name}**: {info.task}, {info.model}, budgets {budgets}."
    yield ""
    yield f"Scores are {scored_on(report)}. This is a copy: what is changed here changes nothing in the study."
    yield from (f"\n- {line}" for line in info.notes)


def note(record: TrialRecord, report: Report) -> str:
    """A trial in a few lines of Markdown: score with interval, cost, and what is kept of each layer."""
    front = {member.number for member in report.front}
    bounds = score_interval(record)
    interval = "" if bounds is None else f" (95 %: {bounds[0]:.4f} to {bounds[1]:.4f})"
    estimated = (
        "" if record.stopped_at is None else f", an estimate: a race stopped it after {record.stopped_at:,} rows"
    )
    score = f"{report.info.metric} {units.points(headline(record, report.info))}, score {record.score:.4f}"
    lines = [
        f"**{record.origin}**{', on the Pareto front' if record.number in front else ''}",
        "",
        f"- {score}{interval}{estimated}",
        f"- {units.percent(record.sparsity)} of parameters and {units.percent(record.macs_removed)} of MACs removed, "
        f"{units.millions(record.params)} M parameters",
        "",
        *_layers(record.architecture),
    ]
    return "\n".join(lines)


def _layers(architecture: Architecture) -> Iterator[str]:
    yield f"heads: {' '.join(map(str, architecture.heads))}"
    yield ""
    yield f"FFN: {' '.join(map(str, architecture.ffn))}"

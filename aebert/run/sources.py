"""Other studies whose architectures are first trials of this one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aebert.config import RunConfig
from aebert.errors import ConfigError, StudyError
from aebert.files import expand_user
from aebert.pruning.architecture import Architecture
from aebert.reporting.tables import full_architecture
from aebert.reporting.verdicts import Standing, standings
from aebert.search.first import STUDY
from aebert.search.record import TrialRecord
from aebert.search.transfer import Source
from aebert.studies.folder import find_study
from aebert.studies.opening import open_report


def read_sources(config: RunConfig, names: Iterable[str]) -> dict[str, Source]:
    """What the studies in a config's `search.first` give, by the value there (`study:NAME`).

    Raises: ConfigError, one line, for a study that does not exist, can't be read, has no scored trials or is this one,
      and for two of the same folder name.
    """
    found: dict[str, Source] = {}
    for value in (name for name in names if name.startswith(STUDY)):
        try:
            source = _read(config, value.removeprefix(STUDY))
        except StudyError as error:
            raise ConfigError(f"search.first: {error}") from error
        if any(source.origin == other.origin for other in found.values()):
            raise ConfigError(f"search.first: each study must have a folder name of its own, {source.name!r} is twice")
        found[value] = source
    return found


def _read(config: RunConfig, study: str) -> Source:
    results = expand_user(config.results)
    folder = find_study(str(expand_user(study)), results).resolve()
    if folder == config.folder.resolve():
        raise ConfigError(f"search.first: study {study!r} is this study itself; name another one")
    report, _ = open_report(str(folder), results)
    full, best = full_architecture(report), tuple(_best(one, report.trials) for one in standings(report))
    if full is None or not best:
        raise ConfigError(f"search.first: study {study!r} has no candidates with a score yet; search it first")
    return Source(folder.name, full, best)


def _best(standing: Standing, trials: Sequence[TrialRecord]) -> Architecture:
    """What the study chose at a budget, or its best where the search has not ended."""
    number = standing.best.number if standing.verdict is None else standing.verdict.chosen
    return next(trial.architecture for trial in trials if trial.number == number)

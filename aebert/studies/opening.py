"""Opening studies that are on disk, whatever version of aebert made them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aebert.errors import AebertError, NoStudyError, StudyError
from aebert.reporting.documents import SUMMARY, read_summary_json
from aebert.reporting.report import Report
from aebert.search.connections import sqlite_url
from aebert.search.reading import read_study
from aebert.studies.folder import CONFIG, DATABASE, find_study, stored_config, stored_text, study_folders


def open_report(study: str, results: Path) -> tuple[Report, Path]:
    """The report of a study as far as it is done, and the study's folder.

    study: name of a folder below `results`, or a path to one. Trials come from the database, also while a search is
    running; finalists and profiles from the last summary. Where there is no database (results that were only copied),
    everything comes from the summary.
    """
    folder = find_study(study, results)
    stored = read_summary_json(folder / SUMMARY) if (folder / SUMMARY).is_file() else None
    live = _live_report(folder)
    if live is None and stored is None:
        raise StudyError(f"study {study!r} has no trials yet: run `aebert search {folder / CONFIG}`")
    if live is not None and stored is not None and stored.info.name == live.info.name:
        live = replace(stored, info=live.info, trials=live.trials, verdicts=live.verdicts)
    found = live or stored
    assert found is not None
    return replace(found, config=stored_text(folder)), folder


def _live_report(folder: Path) -> Report | None:
    """What the study's database says; None where the search has not started, or the database was not copied."""
    config, database = stored_config(folder), folder / DATABASE
    if config.search.storage is None and not database.is_file():
        return None
    try:
        found = read_study(config.search.storage or sqlite_url(database), config.name)
        return Report(found.info, found.records, verdicts=found.verdicts)
    except NoStudyError:  # started, but its search is not
        return None


def open_reports(results: Path) -> tuple[list[Report], list[str]]:
    """Reports of all studies below `results`, and one line for each that can't be read."""
    reports, problems = [], []
    for folder in study_folders(results):
        try:
            reports.append(open_report(str(folder), results)[0])
        except AebertError as error:
            problems.append(f"{folder.name}: {error}")
    return reports, problems

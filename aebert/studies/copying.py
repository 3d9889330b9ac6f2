"""Copying a study of a folder into another database."""

from __future__ import annotations

from pathlib import Path

from aebert.search.connections import kept_url, sqlite_url
from aebert.studies.folder import DATABASE, find_study, stored_config


def copy_to(study: str, results: Path, url: str) -> tuple[Path, int, str]:
    """Copy a study; its folder, its number of trials, and the database's URL without a password.

    study: as of `open_report`. Raises: as `copy_study`.
    """
    from aebert.search.copying import copy_study  # loads Optuna, which takes longer than looking at a study

    folder = find_study(study, results)
    config = stored_config(folder)
    source = config.search.storage or sqlite_url(folder / DATABASE)
    return folder, copy_study(source, config.name, url), kept_url(url)

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aebert.cli import app
from aebert.config import load_config
from aebert.errors import ConfigError, StudyError
from aebert.studies.opening import open_report, open_reports

GOLDEN = Path(__file__).parent.parent / "golden"
STORED = sorted(path.name for path in (GOLDEN / "results").iterdir())
DATABASES = {"study-0.1": 6, "study-0.2": 22}  # trials

every_version = pytest.mark.parametrize("stored", STORED)


@pytest.fixture
def copied(tmp_path: Path, stored: str) -> Path:
    """A study's folder as a version left it, without the database."""
    return Path(shutil.copytree(GOLDEN / "results" / stored, tmp_path / "results" / stored))


def shown(*arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None
    assert result.exit_code == 0
    return result.stdout


@every_version
def test_results_of_every_version_open(copied: Path) -> None:
    found, folder = open_report(copied.name, copied.parent)
    stored = json.loads((copied / "summary.json").read_text(encoding="utf-8"))
    assert folder == copied
    assert (found.info.name, found.info.targets) == (stored["info"]["name"], tuple(stored["info"]["targets"]))
    assert [trial.to_dict().items() >= old.items() for trial, old in zip(found.trials, stored["trials"], strict=True)]
    assert [row.name for row in found.finalists] == [row["name"] for row in stored["finalists"]]
    assert len(found.profiles) == len(stored["profiles"])
    assert len(found.verdicts) == len(stored.get("verdicts", []))


@every_version
def test_results_of_every_version_are_shown(copied: Path) -> None:
    results = ["--results", str(copied.parent)]
    found, _ = open_report(copied.name, copied.parent)
    assert found.info.name in shown("studies", *results)
    assert f"Pareto front of {found.info.name}" in shown("show", copied.name, *results)
    assert "trial 0" in shown("show", copied.name, "0", *results).lower()
    assert "front.csv" in shown("pareto", copied.name, *results, "--out", str(copied))


@pytest.mark.parametrize("database", DATABASES)
@every_version
def test_a_config_of_every_version_leads_to_its_database(copied: Path, stored: str, database: str) -> None:
    config = (copied / "config.yaml").read_text(encoding="utf-8").replace(f"name: {stored}\n", "name: toy\n")
    (copied / "config.yaml").write_text(config, encoding="utf-8")
    (copied / "summary.json").unlink()
    shutil.copy(GOLDEN / f"{database}.db", copied / "study.db")
    found, _ = open_report(copied.name, copied.parent)
    assert (found.info.name, len(found.trials)) == ("toy", DATABASES[database])


@pytest.mark.parametrize("stored", ["sst2-minilm"])
def test_a_run_still_takes_a_config_of_this_version(copied: Path) -> None:
    """The twin of the tests above: these keys do not exist any more."""
    with pytest.raises(ConfigError, match=r"unknown key 'pruning.criterion'"):
        load_config(copied / "config.yaml")


@pytest.mark.parametrize("stored", ["17290b0"])
def test_finalists_of_the_summary_go_with_the_trials_of_the_database(copied: Path) -> None:
    shutil.copy(GOLDEN / "study-0.2.db", copied / "study.db")
    found, _ = open_report(str(copied), copied.parent)
    assert (len(found.trials), len(found.finalists)) == (22, 2)


@pytest.mark.parametrize("stored", ["sst2-minilm"])
def test_finalists_of_another_study_do_not(copied: Path) -> None:
    config = (copied / "config.yaml").read_text(encoding="utf-8").replace("name: sst2-minilm\n", "name: toy\n")
    (copied / "config.yaml").write_text(config, encoding="utf-8")
    shutil.copy(GOLDEN / "study-0.2.db", copied / "study.db")
    found, _ = open_report(str(copied), copied.parent)
    assert (len(found.trials), found.finalists) == (22, ())


@pytest.mark.parametrize("stored", ["17290b0"])
@pytest.mark.parametrize("started", [False, True])
def test_a_study_without_trials_says_what_starts_it(copied: Path, started: bool) -> None:
    (copied / "summary.json").unlink()
    if started:  # another study of the same database
        shutil.copy(GOLDEN / "study-0.2.db", copied / "study.db")
        text = (copied / "config.yaml").read_text(encoding="utf-8").replace("name: toy\n", "name: other\n")
        (copied / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"^study '17290b0' has no trials yet: run `aebert search .*config\.yaml`$"):
        open_report("17290b0", copied.parent)


@pytest.mark.parametrize("stored", ["17290b0"])
def test_what_can_not_be_read_is_one_line_beside_the_others(copied: Path) -> None:
    damaged = copied.parent / "damaged"
    damaged.mkdir()
    (damaged / "summary.json").write_text("{", encoding="utf-8")
    (copied.parent / "no-study").mkdir()
    reports, problems = open_reports(copied.parent)
    assert [report.info.name for report in reports] == ["toy"]
    assert len(problems) == 1
    assert problems[0].startswith("damaged: summary ")
    assert "\n" not in problems[0]

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aebert.cli.app import pipeline_of
from aebert.errors import ConfigError

CONFIG = "name: toy\nresults: results\ntask: {name: sst2}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that was started where `results` lay."""
    made = tmp_path / "work" / "results" / "toy"
    made.mkdir(parents=True)
    (made / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return made


def test_the_folder_of_a_run_is_its_own_wherever_the_command_is_given(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {tmp_path: folder, folder.parent.parent: Path("results/toy"), folder.parent: Path("toy"), folder: Path()}
    for place, given in places.items():
        monkeypatch.chdir(place)
        assert pipeline_of(given, None).run.folder.resolve() == folder, given


def test_a_folder_of_another_name_would_be_another_run(folder: Path) -> None:
    other = Path(shutil.copytree(folder, folder.parent / "copy: of #1"))
    with pytest.raises(ConfigError, match=r"^folder .*copy: of #1 must be called toy, as its run is; rename it"):
        pipeline_of(other, None)
    assert pipeline_of(other, None, name="new").run.folder == folder.parent / "new"
    assert pipeline_of(other, ["results=elsewhere"]).run.folder == Path("elsewhere/toy")


def test_a_file_says_itself_where_its_results_are(folder: Path) -> None:
    assert pipeline_of(folder / "config.yaml", ["seed=3"], trials=7, model=None, trust=False).run.folder == Path(
        "results/toy"
    )

from __future__ import annotations

from pathlib import Path

import pytest

from aebert.errors import ConfigError, StudyError
from aebert.studies.folder import find_study, stored_config, study_folders


def write(folder: Path, text: str = "", name: str = "config.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_study_is_found_by_its_name_and_by_its_path(tmp_path: Path) -> None:
    mine = write(tmp_path / "results" / "mine")
    copied = write(tmp_path / "results" / "copied", name="summary.json")
    elsewhere = write(tmp_path / "elsewhere")
    results = tmp_path / "results"
    assert find_study("mine", results) == mine
    assert find_study("copied", results) == copied
    assert find_study(str(elsewhere), results) == elsewhere
    assert study_folders(results) == [copied, mine]


def test_a_path_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "results" / "mine")
    write(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert find_study("mine", Path("results")) == Path("mine")


def test_a_study_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"^study 'x' must be a folder in .* or a path, got neither; there: none$"):
        find_study("x", tmp_path)
    write(tmp_path / "b")
    write(tmp_path / "a", name="summary.json")
    with pytest.raises(StudyError, match=r"there: a, b$"):
        find_study("x", tmp_path)


def test_a_config_of_any_version_says_what_reading_takes(tmp_path: Path) -> None:
    config = stored_config(
        write(
            tmp_path / "mine",
            "name: yours\nnever_heard_of: [1]\nsearch: {storage: 'sqlite:///a.db', odd: x, budget: {device: pi.yaml}}\n"
            "deploy: {int8: false, more: {}}",
        )
    )
    assert (config.name, config.form) == ("yours", "float32")
    assert (config.search.storage, config.search.budget.device) == ("sqlite:///a.db", "pi.yaml")


@pytest.mark.parametrize("text", ["", "name: mine", None])
def test_what_a_config_lacks_is_as_by_default(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write(tmp_path / "mine", text)
    config = stored_config(tmp_path / "mine")
    assert (config.name, config.form) == ("mine", "int8")
    assert (config.search.storage, config.search.budget.device) == (None, "this")


@pytest.mark.parametrize(
    ("text", "message"),
    [("name: [", r"config\.yaml line 1 must be YAML"), ("search: {storage: [1]}", r"config\.yaml: search\.storage: ")],
)
def test_a_damaged_config_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        stored_config(write(tmp_path / "mine", text))
    assert "\n" not in str(caught.value)

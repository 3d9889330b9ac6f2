from __future__ import annotations

import json
import shutil
import socket
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from aebert.errors import ConfigError, OutputError, StudyError
from aebert.search.connections import sqlite_url
from aebert.studies import dashboard
from aebert.studies.dashboard import attributes, note, readable_copy, serve
from aebert.studies.opening import open_report

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study whose database holds all that aebert keeps for itself."""
    made = tmp_path / "toy"
    made.mkdir()
    shutil.copy(GOLDEN / "study-0.2.db", made / "study.db")
    name = json.loads((GOLDEN / "study-0.2.json").read_text(encoding="utf-8"))["info"]["name"]
    (made / "config.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    return made


def test_attributes_of_a_trial_are_flat(folder: Path) -> None:
    report, _ = open_report(str(folder), folder)
    record = report.trials[-1]
    shown = dict(attributes(record, report))
    assert all(isinstance(value, int | float | str) for value in shown.values())
    assert shown["origin"] == record.origin
    assert shown["params_m"] == pytest.approx(record.params / 1e6, abs=1e-3)
    assert {"score", "budget", "macs_removed", report.info.metric} <= set(shown)


def test_a_note_has_interval_and_architecture(folder: Path) -> None:
    report, _ = open_report(str(folder), folder)
    record = report.front[-1]
    text = note(record, report)
    assert text.startswith(f"**{record.origin}**, on the Pareto front")
    assert f"heads: {' '.join(map(str, record.architecture.heads))}" in text
    assert ("(95 %: " in text) == (record.std_error is not None)


def test_a_copy_reads_well_and_leaves_the_database_alone(folder: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs pip install 'aebert[dashboard]'")
    import optuna

    report, _ = open_report(str(folder), folder)
    before = (folder / "study.db").read_bytes()
    storage = readable_copy(report, sqlite_url(folder / "study.db"))
    study = optuna.load_study(study_name=report.info.name, storage=storage)
    source = optuna.load_study(study_name=report.info.name, storage=sqlite_url(folder / "study.db"))
    assert [trial.values for trial in study.trials] == [trial.values for trial in source.trials]
    assert [trial.params for trial in study.trials] == [trial.params for trial in source.trials]
    for trial in study.trials:
        assert not any(key.startswith("aebert") for key in trial.user_attrs)
    assert study.metric_names == ["score", "share removed"][: len(study.directions)]
    assert (folder / "study.db").read_bytes() == before


def test_what_is_served_is_the_copy(folder: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs pip install 'aebert[dashboard]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = serve(str(folder), folder, live=False, host="127.0.0.1", port=port)
    assert next(lines).startswith(f"http://127.0.0.1:{port}/dashboard shows a copy of ")
    threading.Thread(target=lambda: next(lines, None), daemon=True).start()
    (summary,) = _get(port, "studies")["study_summaries"]
    found = _get(port, f"studies/{summary['study_id']}?after=0")
    report, _ = open_report(str(folder), folder)
    assert found["objective_names"] == ["score", "share removed"][: len(found["directions"])]
    assert "This is a copy" in found["note"]["body"]
    record, shown = report.trials[-1], found["trials"][report.trials[-1].number]
    assert "heads: " in shown["note"]["body"]
    assert {one["key"] for one in shown["user_attrs"]} == set(dict(attributes(record, report)))


def _get(port: int, path: str) -> Any:
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as answer:
                return json.load(answer)
        except ConnectionRefusedError:
            continue
        except OSError:
            threading.Event().wait(0.1)
    raise AssertionError(f"no answer on port {port}")


def test_a_port_that_is_taken_is_one_line(folder: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs pip install 'aebert[dashboard]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        lines = serve(str(folder), folder, live=True, host="127.0.0.1", port=port)
        assert "shows the database itself" in next(lines)
        with pytest.raises(OutputError, match=f"port {port} of 127.0.0.1 is taken"):
            next(lines)


def test_without_the_extra_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'aebert\[dashboard\]'"):
        next(serve(str(folder), folder, live=False, host="127.0.0.1", port=1))


def test_results_without_a_database_can_not_be_shown(tmp_path: Path) -> None:
    folder = GOLDEN / "results" / "e605a85"
    with pytest.raises(StudyError, match=r"study\.db must be there"):
        dashboard.database_url(folder)

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from aebert.reporting.answer import best_file
from aebert.reporting.best import Wish
from aebert.run.report import build_report, report
from aebert.sections import digest

from .conftest import MakePipeline


def test_a_report_says_what_each_stage_made(pipeline: MakePipeline) -> None:
    toy = pipeline()
    found = report(toy)
    (finalist,) = toy.finalists
    assert [one.name for one in found.finalists] == ["dense", finalist.name]
    assert found.finalists[1].chosen
    assert not list((toy.run.folder / "stages").glob("select-*"))  # there is none to compare it with
    assert {(one.name, one.kind) for one in found.profiles} == {
        (name, kind) for name in ("dense", finalist.name) for kind in ("float32", "int8")
    }
    assert found.profiles[0].speedup is None
    assert found.rows == {role: len(rows) for role, rows in toy.run.task.rows.items()}
    assert all(
        one.report_score == toy.scores[_file(one.name, one.kind)]["metrics"]["accuracy"] for one in found.profiles
    )
    assert [(one.name, one.kind, one.label) for one in found.classes] == [
        (one.name, one.kind, label) for one in found.profiles for label in ("bad", "good")
    ]
    for one in found.profiles:
        right = sum(row.recall * row.support for row in found.classes if (row.name, row.kind) == (one.name, one.kind))
        assert right / found.rows["report"] == pytest.approx(one.report_score)
    assert json.loads((toy.run.folder / "summary.json").read_text())["info"]["name"] == "toy"
    assert found.config == (toy.run.folder / "config.yaml").read_text(encoding="utf-8")
    assert {"dense", "search", "library", "profile", "report-dense", "export-dense"} <= set(found.seconds)
    by_length = found.profiles[0].by_length
    assert sum(one.runs for one in by_length) == 10
    assert all(one.p50_ms > 0 for one in by_length)
    again = build_report(pipeline())  # after the bundles, which are a stage too
    assert again == replace(found, provenance=again.provenance, seconds=again.seconds)


def _file(name: str, kind: str) -> str:
    return name + (".int8" if kind == "int8" else "")


def test_bundles_hold_no_folder_of_this_machine(pipeline: MakePipeline, tmp_path: Path) -> None:
    toy = pipeline()
    _ = report(toy)
    manifests = list((toy.run.folder / "bundles").glob("*/bundle.json"))
    assert len(manifests) == 2
    for manifest in manifests:
        assert str(tmp_path) not in manifest.read_text(encoding="utf-8")


def test_nothing_is_confirmed_without_a_latency_budget(pipeline: MakePipeline) -> None:
    assert pipeline().latency_prices is None


@pytest.mark.parametrize("stage", ["profile", "report-dense"])
def test_files_are_measured_and_scored_once(
    stage: str, pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pipeline()
    known = first.profiles if stage == "profile" else first.scores
    monkeypatch.setattr("aebert.run.profiles.profile_files", lambda *_, **__: pytest.fail("measured already"))
    monkeypatch.setattr("aebert.run.scores.score_file", lambda *_, **__: pytest.fail("scored already"))
    again = pipeline()
    assert (again.profiles if stage == "profile" else again.scores) == known


def test_scores_from_before_those_of_classes_are_made_again(pipeline: MakePipeline) -> None:
    first = pipeline()
    known = first.scores
    record = first.run.folder / "stages" / "report-dense.json"
    values = json.loads(record.read_text())
    del values["detail"]["labels"], values["result"]["classes"]
    record.write_text(json.dumps({**values, "inputs": digest("report-dense", values["detail"])}))
    again = pipeline().scores
    assert {name: _untimed(one) for name, one in again.items()} == {name: _untimed(one) for name, one in known.items()}


def _untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "seconds"}


def test_a_report_says_no_password(pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["run", "c.yaml", "--set", "search.storage=postgresql://me:secret@host/db", "--name=secretary"]
    monkeypatch.setattr("sys.argv", ["/bin/aebert", *arguments])
    command = build_report(pipeline()).provenance["command"]
    assert command == "aebert run c.yaml --set search.storage=postgresql://me:***@host/db --name=secretary"


def test_a_run_keeps_no_password(pipeline: MakePipeline) -> None:
    toy = pipeline(search={"trials": 6, "storage": "postgresql://me:secret@host/db"})
    toy.run.folder.mkdir(parents=True)
    toy.run.store_config()
    assert "storage: postgresql://me@host/db\n" in (toy.run.folder / "config.yaml").read_text(encoding="utf-8")


def test_files_are_compared_on_the_same_rows(pipeline: MakePipeline) -> None:
    found = build_report(pipeline())
    scores = {row.file: row.report_score or 0.0 for row in found.profiles}
    assert {(one.file, one.than) for one in found.differences} == {
        (file, than) for than, file in combinations(scores, 2)
    }
    for one in found.differences:
        assert one.value == pytest.approx(scores[one.file] - scores[one.than])
        assert one.low <= one.value <= one.high
    assert best_file(found, Wish(max_loss=100)).file is not None

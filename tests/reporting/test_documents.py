from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.errors import OutputError, StudyError
from aebert.reporting.documents import read_summary_json, write_front_csv, write_summary_json
from aebert.reporting.report import Report

ROOT = Path(__file__).parents[2]

GOLDEN_CSV = """\
trial,origin,budget,cost,sparsity,macs_removed,params,macs,search_accuracy,search_f1,search_loss,score,std_error,\
search_accuracy_minus_dense,search_accuracy_minus_uniform,hypervolume,heads,ffn,base,repaired,seconds
0,dense,,,0.0,0.0,2000000,1000,0.75,0.375,0.25,0.75,,0.0,,,4 4,8 8,,False,0.5
2,sampled,0.5,,0.5,0.5,1500000,500,0.625,0.3125,0.5,0.625,,-0.125,0.125,,4 2,4 2,,False,0.5
3,sampled,0.75,,0.75,0.75,1250000,250,0.375,0.1875,2.0,0.375,,-0.375,,,0 1,8 0,,False,0.5
"""


def test_front_csv_is_the_stored_text(report: Report, tmp_path: Path) -> None:
    write_front_csv(report, tmp_path / "new" / "front.csv")
    assert (tmp_path / "new" / "front.csv").read_bytes() == GOLDEN_CSV.encode()
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["front.csv"]


def test_front_csv_says_how_a_candidate_of_the_ladder_is_made(report: Report, tmp_path: Path) -> None:
    made = replace(report.trials[1], repaired=True, base=7)
    write_front_csv(replace(report, trials=(report.trials[0], made)), tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(encoding="utf-8") as file:
        assert [(row["base"], row["repaired"]) for row in csv.DictReader(file)] == [("", "False"), ("7", "True")]


def test_front_csv_of_a_study_without_trials_has_its_header_only(report: Report, tmp_path: Path) -> None:
    write_front_csv(Report(report.info, ()), tmp_path / "front.csv")
    assert (tmp_path / "front.csv").read_text().startswith("trial,origin,budget,cost,sparsity")
    assert (tmp_path / "front.csv").read_text().count("\n") == 1


def test_front_csv_says_how_far_each_first_trial_is_behind(raced: Report, tmp_path: Path) -> None:
    write_front_csv(raced, tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(encoding="utf-8") as file:
        rows = {row["trial"]: row for row in csv.DictReader(file)}
    # trial 4 was stopped, trial 6 is worse at the same share, and both first trials are behind trial 3
    assert list(rows) == ["0", "3", "5"]
    best, hard = rows["3"], rows["5"]
    assert (best["cost"], best["std_error"], best["hypervolume"]) == ("0.5", "0.0625", "0.3125")
    assert (best["search_accuracy_minus_uniform"], best["search_accuracy_minus_knapsack"]) == ("0.125", "0.0625")
    # nothing was tried first at the harder budget
    assert (hard["search_accuracy_minus_uniform"], hard["search_accuracy_minus_knapsack"]) == ("", "")


def test_the_front_of_milliseconds_is_over_milliseconds(timed: Report, tmp_path: Path) -> None:
    write_front_csv(timed, tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(encoding="utf-8") as file:
        assert [(row["trial"], row["cost"]) for row in csv.DictReader(file)] == [
            ("0", "10.0"),
            ("2", "7.0"),
            ("3", "4.0"),
        ]
    # a study that recorded no costs keeps its front over MACs
    old = replace(timed, trials=tuple(replace(trial, cost=None) for trial in timed.trials))
    write_front_csv(old, tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(encoding="utf-8") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["0", "2"]


def test_the_summaries_of_version_0_1_can_be_read() -> None:
    stored = read_summary_json(ROOT / "tests" / "golden" / "results" / "sst2-minilm" / "summary.json")
    assert (len(stored.trials), stored.verdicts) == (43, ())
    assert {trial.stopped_at for trial in stored.trials} == {None}


def test_summary_comes_back_as_it_was(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary_json(report, path)
    assert read_summary_json(path) == report


def test_summary_is_strict_json_with_one_line_per_trial(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    broken = replace(report.trials[1], score=math.nan, loss=math.inf, metrics={"accuracy": -math.inf})
    write_summary_json(Report(report.info, (report.trials[0], broken)), path)

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    json.loads(path.read_text(), parse_constant=refuse)
    back = read_summary_json(path).trials[1]
    assert math.isnan(back.score)
    assert (back.loss, back.metrics["accuracy"]) == (math.inf, -math.inf)
    assert len([line for line in path.read_text().splitlines() if '"number"' in line]) == 2


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], r"summary\.json line \d+ must be JSON: .*; delete it and run"),
        (lambda text: "[1]", r"must be a report of aebert: list indices"),
        (lambda text: "{}", r"must have the key 'format'"),
        (
            lambda text: text.replace('"format": 3', '"format": 9'),
            r"summary\.json: a summary must have a format of 1 to 3, got 9",
        ),
        (lambda text: text.replace('"loss"', '"lost"'), r"unexpected keyword argument 'lost'"),
        (lambda text: text.replace('"heads": [4, 4]', '"heads": [4, -4]'), r"heads\[1\] must be a whole number"),
        (lambda text: text.replace('"accuracy": 0.75', '"acc": 0.75'), r"must have the headline metric 'accuracy'"),
    ],
)
def test_a_damaged_summary_is_one_clear_error(report: Report, tmp_path: Path, damage: object, message: str) -> None:
    path = tmp_path / "summary.json"
    write_summary_json(report, path)
    assert callable(damage)
    path.write_text(damage(path.read_text()))
    with pytest.raises(StudyError, match=message) as caught:
        read_summary_json(path)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_summary_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.json can't be read: No such file"):
        read_summary_json(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StudyError, match="must be a report of aebert"):
        read_summary_json(tmp_path / "binary.json")


def test_a_refused_write_names_the_file(report: Report, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with pytest.raises(OutputError, match=r"front\.csv can't be written: (Not a directory|File exists)"):
        write_front_csv(report, tmp_path / "plain" / "front.csv")


@pytest.mark.parametrize(
    ("place", "value", "rule"),
    [
        (("trials", 1), 5, "must be a report of aebert"),
        (("trials", 1, "params"), "many", r"must be a report of aebert: trials.1.params: input should be a valid int"),
        (("finalists", 1, "report_metrics"), {"f1": 0.5}, "must have the key 'accuracy'"),
        (("verdicts", 0, "best"), 999, "must have the key 999"),
        (("machine", "isa"), [5], "must be a report of aebert"),
        (("trials", 1, "score"), 10**400, "must be a report of aebert"),
    ],
)
def test_values_of_another_type_are_one_line(place: tuple[Any, ...], value: object, rule: str, tmp_path: Path) -> None:
    path = ROOT / "tests" / "golden" / "results" / "3455796" / "summary.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    *above, last = place
    inner = document
    for key in above:
        inner = inner[key]
    inner[last] = value
    (tmp_path / "summary.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(StudyError, match=rf"summary .*{rule}") as caught:
        read_summary_json(tmp_path / "summary.json")
    assert "\n" not in str(caught.value)

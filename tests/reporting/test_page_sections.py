from __future__ import annotations

import re
from dataclasses import replace

import pytest

from aebert.reporting.files import files_table
from aebert.reporting.page_answer import files_section, ship_section
from aebert.reporting.page_models import models_section
from aebert.reporting.page_study import again_section, cost_section, stage_table
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference, LengthRow


def _text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def answered(report: Report) -> Report:
    narrow = FileDifference("trial-2 int8", "dense float32", 0.0, -0.005, 0.005)
    return replace(report, differences=(narrow,))


def test_the_answer_has_figures_and_the_command_that_runs_it(answered: Report) -> None:
    html = ship_section(answered)
    assert "<h2>Ship trial-2 int8</h2>" in html
    text = _text(html)
    assert "accuracy on the report rows 77.0 points, 95 % interval 67.0–87.0" in text
    assert "against the dense model ±0.0 points, -0.5 to +0.5" in text
    assert "3.00 ms median of a call, 4.0 times as fast as dense float32" in text
    assert "1.5 MB MB of 10^6 bytes, 5.3 times smaller than dense float32" in text
    assert "aebert predict bundles/trial-2 --input rows.csv" in text


def test_without_an_answer_it_says_why(answered: Report, report: Report, trials_only: Report) -> None:
    lossy = FileDifference("trial-2 int8", "dense float32", -0.03, -0.06, 0.0)
    only_dense = replace(answered, differences=(lossy,))
    assert _text(ship_section(only_dense)).startswith("Ship dense float32")
    dense, small = answered.profiles
    int8 = replace(dense, kind="int8", report_score=0.7)
    worse = FileDifference("dense int8", "dense float32", -0.1, -0.12, -0.08)
    lost = replace(answered, profiles=(dense, int8, small), differences=(lossy, worse))
    found = _text(ship_section(lost))
    assert found.startswith("No file loses as little as is allowed")
    assert "The nearest is trial-2 int8, which may lose up to 6.0 points." in found
    old = _text(ship_section(report))
    assert old.startswith("No file can be named")
    assert "By the select rows the model to use is trial-2." in old
    assert _text(ship_section(trials_only)).startswith("No file to ship yet")


def test_the_chart_of_files_has_its_table_behind_it(answered: Report, trials_only: Report) -> None:
    html = files_section(answered)
    assert html.count('type="radio"') == 4
    assert html.count(" checked") == 1
    for row in files_table(answered).rows:
        assert row[0].text in _text(html)
    assert files_section(trials_only) == ""


def test_heat_maps_have_a_row_for_each_model_of_the_front(report: Report) -> None:
    html = models_section(report)
    assert html.count('class="heat"') == 2
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', html)
    kept = [re.findall(r">(\d+)</td>", row) for row in rows]
    # heads of trials 2 and 3 and of the finalist from trial 2, then their neurons
    assert kept == [["4", "2"], ["0", "1"], ["4", "2"], ["4", "2"], ["8", "0"], ["4", "2"]]
    assert '<td class="dark" style="--share:100%" title="4 of 4">4</td><td style="--share:50%"' in rows[0]


def test_each_model_says_what_became_of_it(answered: Report) -> None:
    text = _text(models_section(answered))
    assert "trial-2 , to use at its budget: accuracy 78.0 on the report rows" in text
    assert "accuracy before fine-tuning 62.5 on the search rows" in text
    assert "accuracy after fine-tuning 70.0 on the select rows" in text
    assert "accuracy, int8 file 77.0 (95 %: 67.0–87.0) on the report rows" in text
    assert "Latency by length was not recorded" in text


def test_latency_by_length_is_a_table_where_it_was_recorded(answered: Report) -> None:
    lengths = (LengthRow(4, 8, 20, 1.5), LengthRow(9, 9, 10, 3.25))
    dense, small = answered.profiles
    text = _text(models_section(replace(answered, profiles=(dense, replace(small, by_length=lengths)))))
    assert "tokens requests int8 (ms) 4–8 20 1.50 9 10 3.25" in text


def test_stages_are_summed_by_part_and_inner_ones_count_once(report: Report) -> None:
    seconds = {
        "dense": 60.0,
        "search": 30.0,
        "library": 5.0,
        "rung-3-library": 5.0,
        "export-trial-2": 20.0,
        "export-trial-2-variant-dynamic-int8": 15.0,
        "export-trial-21": 10.0,
        "new-thing": 70.0,
    }
    table = stage_table(replace(report, seconds=seconds))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["the dense model", "60.0 s", "30.0 %"],
        ["what candidates are made of", "10.0 s", "5.0 %"],
        ["scoring candidates", "30.0 s", "15.0 %"],
        ["export and quantization", "30.0 s", "15.0 %"],
        ["other", "70.0 s", "35.0 %"],
    ]
    assert table.note.startswith("3.3 min in all, on an unknown processor.")


def test_costs_that_were_not_recorded_are_not_guessed(report: Report) -> None:
    assert "was not recorded" in cost_section(report)
    assert "Each model" not in cost_section(report)
    known = replace(report, provenance={"seconds": {"trial-2": 7200.0}})
    assert "trial-2 2.0 h –" in _text(cost_section(known))


def test_the_command_config_and_versions_are_there_to_run_it_again(report: Report) -> None:
    machine = {"versions": {"torch": "2.13.0"}}
    found = replace(report, config="name: <toy>\n", provenance={"command": "aebert run toy.yaml"}, machine=machine)
    html = again_section(found, "")
    assert "aebert run toy.yaml" in html
    assert "name: &lt;toy&gt;" in html
    assert "torch 2.13.0" in html
    assert "one note" in html

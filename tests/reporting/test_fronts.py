from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from aebert.reporting.chart import front_chart
from aebert.reporting.documents import write_front_csv
from aebert.reporting.finalists import finalists_table
from aebert.reporting.fronts import front_table
from aebert.reporting.plot import front_figure
from aebert.reporting.printing import print_tables
from aebert.reporting.report import Report
from aebert.reporting.tables import Table

GOLDEN_FRONT = """\
Pareto front of toy

   trial   budget   parameters removed   params (M)   accuracy   95 %    loss   vs dense   vs uniform   heads   FFN
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 0 dense        –                0.0 %         2.00       75.0      –   0.250       ±0.0            –   ██      ██
       2     50 %               50.0 %         1.50       62.5      –   0.500      -12.5        +12.5   █▄      ▄▂
       3     75 %               75.0 %         1.25       37.5      –   2.000      -37.5            –   ·▂      █·

Each candidate listed scores higher than every cheaper one.
Scores are accuracy × 100 on the 8 search rows, before fine-tuning; 95 % is the interval of a score for rows like these.
vs dense and vs uniform are differences in points; uniform prunes every layer alike to the same budget.
heads and FFN show one sign per layer, the first layer on the left: · nothing kept, ▁ to ▇ a part, █ all.
"""


def test_front_is_the_stored_text(report: Report) -> None:
    stream = io.StringIO()
    print_tables(front_table(report), file=stream)
    assert stream.getvalue() == GOLDEN_FRONT


def _text(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_front_rows(report: Report) -> None:
    table = front_table(report)
    titles = ["trial", "budget", "parameters removed", "params (M)", "accuracy", "95 %", "loss"]
    assert [column.title for column in table.columns] == [*titles, "vs dense", "vs uniform", "heads", "FFN"]
    assert _text(table) == [
        ["0 dense", "–", "0.0 %", "2.00", "75.0", "–", "0.250", "±0.0", "–", "██", "██"],
        ["2", "50 %", "50.0 %", "1.50", "62.5", "–", "0.500", "-12.5", "+12.5", "█▄", "▄▂"],
        ["3", "75 %", "75.0 %", "1.25", "37.5", "–", "2.000", "-37.5", "–", "·▂", "█·"],
    ]
    assert [row[0].key for row in table.rows] == ["trial:0", "trial:2", "trial:3"]


def test_the_front_of_milliseconds_lists_milliseconds(timed: Report) -> None:
    table = front_table(timed)
    assert [column.title for column in table.columns][:5] == [
        "trial",
        "budget",
        "predicted (ms)",
        "params (M)",
        "accuracy",
    ]
    assert [row[:3] for row in _text(table)] == [
        ["0 dense", "–", "10.0"],
        ["2", "7.5 ms", "7.00"],
        ["3", "7.5 ms", "4.00"],
    ]
    # a study that recorded no costs keeps its front over MACs
    old = replace(timed, trials=tuple(replace(trial, cost=None) for trial in timed.trials))
    assert front_table(old).columns[2].title == "MACs removed"
    assert [row[:3] for row in _text(front_table(old))] == [["0 dense", "–", "0.0 %"], ["2", "7.5 ms", "62.5 %"]]


def test_costs_within_a_grid_step_are_one_in_every_form_of_the_front(report: Report, tmp_path: Path) -> None:
    # trial 3 is a tenth of a percent smaller than trial 2, and much worse
    close = replace(report.trials[3], sparsity=0.501)
    stepped = replace(report, info=replace(report.info, step=0.0046), trials=(*report.trials[:3], close))
    table = front_table(stepped)
    assert [row[0].text for row in table.rows] == ["0 dense", "2"]
    assert table.note.startswith(
        "Each candidate listed scores higher than every cheaper one; costs less than one grid step (0.46 %) apart "
        "count as one.\n"
    )
    write_front_csv(stepped, tmp_path / "front.csv")
    assert (tmp_path / "front.csv").read_text().count("\n") == 3
    drawn = [trace for trace in front_chart(stepped).data if trace.name.startswith("Pareto")]
    assert [list(trace.x) for trace in drawn] == [[0.0, 50.0]]
    (line,) = (line for line in front_figure(stepped).axes[0].lines if line.get_gid() == "front")
    assert np.asarray(line.get_xydata()).shape == (2, 2)
    whole = replace(stepped, info=report.info)
    assert [row[0].text for row in front_table(whole).rows] == ["0 dense", "2", "3"]


def test_milliseconds_say_what_they_are(timed: Report) -> None:
    assert "predicted (ms) is the median of one request on Toy 1, int8.\n" in front_table(timed).note
    old = replace(timed, trials=tuple(replace(trial, cost=None) for trial in timed.trials))
    assert "(ms)" not in front_table(old).note


def test_front_of_a_study_limited_in_macs_says_so(report: Report) -> None:
    limited = replace(report, info=replace(report.info, budget_kind="macs"))
    assert front_table(limited).columns[2].title == "MACs removed"


def test_scores_have_their_intervals(raced: Report) -> None:
    # a sixteenth times 2.093, the 97.5 % point of Student's t with 19 degrees of freedom, is 13.08 points
    shown = {row[0].text: row[5].text for row in front_table(raced).rows}
    assert shown == {"0 dense": "61.9–88.1", "3": "49.4–75.6", "5 neighbour": "36.9–63.1"}
    by_loss = replace(raced, trials=tuple(replace(trial, score=-trial.loss) for trial in raced.trials))
    # the error is that of the loss, and the metric is shown
    assert {row[5].text for row in front_table(by_loss).rows} == {"–"}


def test_a_cost_that_is_the_number_of_parameters_stands_there_once(report: Report) -> None:
    limited = replace(report, info=replace(report.info, budget_kind="params", targets=(1.5e6,)))
    for table in (front_table(limited), finalists_table(limited)):
        assert [column.title for column in table.columns].count("params (M)") == 1
    assert [row[2] for row in _text(front_table(limited))] == ["2.00", "1.50", "1.25"]

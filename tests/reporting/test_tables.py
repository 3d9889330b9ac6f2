from __future__ import annotations

from dataclasses import replace

from aebert.pruning.architecture import Architecture
from aebert.reporting.fronts import front_table
from aebert.reporting.report import Report
from aebert.reporting.tables import chosen, full_architecture, layer_totals, scored_on


def test_a_score_that_is_not_the_metric_is_named(report: Report) -> None:
    assert scored_on(report) == "accuracy × 100 on the 8 search rows, before fine-tuning"
    by_loss = replace(report, trials=tuple(replace(trial, score=-trial.loss) for trial in report.trials))
    assert "the search maximized another score (the negative loss)" in scored_on(by_loss)
    # the score shown stays the headline metric
    assert front_table(by_loss).rows[0][4].text == "75.0"


def test_several_ffn_blocks_of_a_layer_are_summed() -> None:
    assert layer_totals(Architecture((4, 2), (1, 2, 3, 4, 5, 6))) == (6, 15)
    assert layer_totals(Architecture((4, 2), (7, 8))) == (7, 8)


def test_full_architecture_is_the_dense_model_s(report: Report) -> None:
    assert full_architecture(report) == report.trials[0].architecture
    assert full_architecture(replace(report, trials=report.trials[1:])) == report.finalists[0].architecture
    assert full_architecture(Report(report.info, report.trials[1:])) is None


def test_chosen_is_the_marked_finalist(report: Report) -> None:
    assert chosen(report.finalists) is report.finalists[1]
    assert chosen(report.finalists[:1]) is None

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import RenderableType

from aebert.errors import StudyError
from aebert.reporting.printing import print_tables
from aebert.reporting.report import Report
from aebert.reporting.tables import Table
from aebert.reporting.trials import trial_detail


def _printed(shown: Table | RenderableType) -> str:
    stream = io.StringIO()
    print_tables(shown, file=stream)
    return stream.getvalue()


def test_trial_detail_tells_every_fact(report: Report) -> None:
    text = _printed(trial_detail(report, 4))
    facts = dict(line.split("  ", 1) for line in text.splitlines() if "  " in line and not line.startswith(" "))
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["origin"] == "sampled, score taken over from trial 2 (same architecture)"
    assert facts["on the Pareto front"] == "no"
    assert facts["budget (sparsity)"] == "50 %"
    assert facts["parameters"] == "1,500,000 (with embeddings)"
    assert facts["MACs"] == "500 (encoder, 16 tokens)"
    assert (facts["accuracy"], facts["f1"], facts["loss"]) == ("62.5", "31.2", "0.5000")
    rows = [line.split() for line in text.splitlines() if line.startswith("     ")]
    assert rows == [
        ["1", "4/4", "█" * 20, "4/8", "█" * 10 + "░" * 10],
        ["2", "2/4", "█" * 10 + "░" * 10, "2/8", "█" * 5 + "░" * 15],
    ]


def test_a_trial_of_the_ladder_says_how_it_is_made(report: Report) -> None:
    made = replace(report.trials[1], repaired=True, base=7)
    text = _printed(trial_detail(replace(report, trials=(report.trials[0], made)), made.number))
    assert "cut from" in text
    assert "the library built from trial 7" in text
    assert "repaired" in text
    plain = _printed(trial_detail(report, report.trials[1].number))
    assert "cut from" not in plain
    assert "repaired" not in plain


def test_an_unknown_trial_is_one_clear_error(report: Report) -> None:
    with pytest.raises(StudyError, match=r"'toy' must have the trial to show, got 9 \(its trials: 0\.\.5\)"):
        trial_detail(report, 9)
    with pytest.raises(StudyError, match="none yet"):
        trial_detail(Report(report.info, ()), 0)


def test_a_stopped_trial_says_so(raced: Report) -> None:
    stream = io.StringIO()
    print_tables(trial_detail(raced, 4), file=stream)
    lines = stream.getvalue().splitlines()
    shown = next(line for line in lines if line.startswith("stopped"))
    assert shown.endswith(
        "by a race after 2 of 8 search rows, clearly behind the best of its budget; scores are estimates"
    )
    assert next(line for line in lines if line.startswith("accuracy ")).endswith("37.5 (estimated)")
    stream = io.StringIO()
    print_tables(trial_detail(raced, 3), file=stream)
    assert "0.6250 (95 %: 0.4942 to 0.7558)" in stream.getvalue()
    assert "stopped" not in stream.getvalue()
    assert "estimated" not in stream.getvalue()

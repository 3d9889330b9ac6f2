from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from aebert.errors import StudyError
from aebert.reporting.printing import (
    finalists_table,
    front_table,
    print_table,
    profiles_table,
    studies_table,
    trial_detail,
)
from aebert.reporting.report import Report

GOLDEN_FRONT = """\
Pareto front of toy

   trial   budget   parameters removed   params (M)   accuracy   95 %    loss   vs dense   vs uniform   heads   FFN
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
 0 dense        –                0.0 %         2.00       75.0      –   0.250       ±0.0            –   ██      ██
       2     50 %               50.0 %         1.50       62.5      –   0.500      -12.5        +12.5   █▄      ▄▂
       3     75 %               75.0 %         1.25       37.5      –   2.000      -37.5            –   ·▂      █·

accuracy × 100 on the 8 search rows, before fine-tuning. 95 %: interval for rows like these.
vs: difference in points. uniform: every layer pruned alike to the same budget.
heads, FFN: one sign per layer, the first layer left: · nothing kept, ▁ to ▇ a part, █ all.
"""


def _printed(table: RenderableType) -> str:
    stream = io.StringIO()
    print_table(table, stream)
    return stream.getvalue()


def test_front_is_the_stored_text(report: Report) -> None:
    assert _printed(front_table(report)) == GOLDEN_FRONT


def test_a_file_gets_whole_lines_without_control_codes(report: Report) -> None:
    for table in (finalists_table(report), profiles_table(report)):
        text = _printed(table)
        assert "\x1b" not in text
        assert [line for line in text.splitlines() if "trial-2" in line] != []
    assert "trial-2 *" in _printed(finalists_table(report))
    assert "1.5       3.00       3.50       4.00" in _printed(profiles_table(report))


def test_a_terminal_is_not_overrun(report: Report) -> None:
    stream = io.StringIO()
    Console(file=stream, width=70).print(front_table(report))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 70
    # folded, not cut: every score is still there
    assert all(score in stream.getvalue() for score in ("75.0", "62.5", "37.5"))


def test_a_stream_without_the_signs_gets_digits(report: Report) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_table(front_table(report), stream)
    stream.flush()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert lines[4].split() == ["0", "dense", "-", "0.0", "%", "2.00", "75.0", "-", "0.250", "+0.0", "-", "##", "##"]
    assert lines[6].split()[-2:] == ["02", "#0"]


def test_markup_in_names_is_shown_as_it_is(report: Report) -> None:
    named = replace(report, info=replace(report.info, name="[bold]x[/bold]", task="[red]"))
    assert "[bold]x[/bold]" in _printed(front_table(named))
    assert "[red]" in _printed(studies_table([named]))


def test_studies_show_progress_and_the_best_of_each_budget(report: Report, trials_only: Report) -> None:
    empty = Report(replace(report.info, name="empty", trials=40), ())
    lines = _printed(studies_table([trials_only, empty])).splitlines()
    toy, none = (line for line in lines if line.startswith((" toy", " empty")))
    assert toy.split() == [*"toy sst2 tiny tpe 6/6 accuracy 75.0".split(), *"62.5 at 50 %, 37.5 at 75 %".split()]
    assert none.split() == "empty sst2 tiny tpe 0/40 accuracy –".split()


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


def test_an_unknown_trial_is_one_clear_error(report: Report) -> None:
    with pytest.raises(StudyError, match=r"'toy' must have the trial to show, got 9 \(its trials: 0\.\.5\)"):
        trial_detail(report, 9)
    with pytest.raises(StudyError, match="none yet"):
        trial_detail(Report(report.info, ()), 0)

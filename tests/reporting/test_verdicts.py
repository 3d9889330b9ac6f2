from __future__ import annotations

import io
from dataclasses import replace

import pytest

from aebert.reporting.printing import print_tables
from aebert.reporting.report import Report
from aebert.reporting.tables import Table
from aebert.reporting.verdicts import first_trial, standings, verdict_tables
from aebert.search.record import GainRecord, Verdict

GOLDEN = """\
What the search found in toy

 budget    best trial   accuracy        95 %   flatters by   candidates   stopped   tied with the best   chosen
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
   50 %             3       62.5   49.4–75.6           1.7            5         1   1: 2                      2
   75 %   5 neighbour       50.0   36.9–63.1           0.0            2         0   none                      5

chosen is the candidate to fine-tune first: of the best and those tied with it, the nearest to the dense model, \
row by row.
Scores are accuracy × 100 on the 8 search rows, before fine-tuning; 95 % is the interval of the best score for rows \
like these.
candidates are the architectures within the budget that saw all rows; stopped are those that a race stopped before \
that, as clearly behind.
tied with the best are other trials that may as well be best on rows like these, with 95 % confidence, among the 20 \
leading ones.
The best score flatters, because it is the best of many on these rows: by about 1.7 points at 50 % (best of 5), \
less than 0.05 points at 75 % (best of 2).

What the search won in toy

 budget            over uniform          over knapsack
 ─────────────────────────────────────────────────────
   50 %   +12.5 (+5.0 to +20.0)   +6.2 (-1.0 to +13.5)
   75 %                       –                      –

Points by which the best of a budget beats its first trials: clearly where the whole interval is above 0.
In brackets is the 95 % interval of the difference on the same rows. The best was chosen on these rows, which flatters \
its gains as it does its score; itself means that the first trial is the best.
The first trials are uniform (every layer pruned alike), knapsack (least sum of block errors).
At 50 % the search won nothing over its strongest first trial that these rows can show.
"""


def _text(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def _with(report: Report, verdict: Verdict) -> Report:
    return replace(report, verdicts=(verdict, report.verdicts[1]))


def test_what_was_won_over_another_study_is_said(raced: Report) -> None:
    trials = tuple(replace(one, origin="study:other") if one.number == 2 else one for one in raced.trials)
    verdict = raced.verdicts[0]
    gains = {"uniform": verdict.gains["uniform"], "study:other": verdict.gains["knapsack"]}
    _, won = verdict_tables(replace(_with(raced, replace(verdict, gains=gains)), trials=trials))
    assert [column.title for column in won.columns] == ["budget", "over uniform", "over study:other"]
    assert _text(won)[0] == ["50 %", "+12.5 (+5.0 to +20.0)", "+6.2 (-1.0 to +13.5)"]
    assert "study:other (what that study chose, brought onto the budget)." in won.note
    assert won.note.endswith("At 50 % the search won nothing over its strongest first trial that these rows can show.")
    clear = {origin: replace(gain, low=0.01) for origin, gain in gains.items()}
    _, won = verdict_tables(replace(_with(raced, replace(verdict, gains=clear)), trials=trials))
    assert "won nothing" not in won.note


def test_the_tables_are_the_stored_text(raced: Report) -> None:
    stream = io.StringIO()
    print_tables(*verdict_tables(raced), file=stream)
    assert stream.getvalue() == GOLDEN


def test_candidates_and_stopped_count_for_every_budget_that_they_meet(raced: Report) -> None:
    mild, hard = standings(raced)
    # within 50 %: trials 1, 2, 3, 5, 6, and 4, which was stopped; the dense model is no candidate
    assert (mild.candidates, mild.stopped, hard.candidates, hard.stopped) == (5, 1, 2, 0)
    # a repeated architecture counts once
    again = replace(raced.trials[3], number=7, same_as=3)
    assert standings(replace(raced, trials=(*raced.trials, again)))[0].candidates == 5


def test_a_best_from_a_harder_budget_is_named(raced: Report) -> None:
    better = replace(raced.trials[5], score=0.7, metrics={"accuracy": 0.7})
    report = replace(raced, trials=(*raced.trials[:5], better, raced.trials[6]))
    mild, hard = standings(report)
    assert mild.best is hard.best is better
    note = verdict_tables(report)[0].note
    assert "At 50 % the best, trial 5, was proposed for 75 %; nothing proposed for 50 % scores higher." in note
    assert "At 75 % the best" not in note


def test_a_verdict_on_another_best_says_nothing(raced: Report) -> None:
    # a search that goes on has found a better one since
    better = replace(raced.trials[3], number=7, score=0.75, metrics={"accuracy": 0.75})
    report = replace(raced, trials=(*raced.trials, better))
    mild, hard = standings(report)
    assert (mild.best.number, mild.verdict, mild.optimism) == (7, None, None)
    assert hard.verdict is raced.verdicts[1]
    assert mild.gains == {
        "uniform": GainRecord(number=1, value=0.25, low=None, high=None),
        "knapsack": GainRecord(number=2, value=0.1875, low=None, high=None),
    }
    found, won = verdict_tables(report)
    assert _text(found)[0][4:] == ["–", "6", "1", "–", "–"]
    assert _text(won)[0] == ["50 %", "+25.0", "+18.8"]
    assert "– becomes known when a search has ended" in found.note


def test_ties_are_shortened_and_may_be_more_than_were_compared(raced: Report) -> None:
    many = _with(raced, replace(raced.verdicts[0], tied=(3, 2, 1, 5, 6, 8, 9)))
    assert _text(verdict_tables(many)[0])[0][-2] == "6: 2 1 5 6 8 …"
    # twenty are compared, and all of them are tied
    others = (replace(raced.trials[1], number=number, origin="sampled") for number in range(7, 25))
    leading = _with(raced, replace(raced.verdicts[0], tied=(3, 2, *range(7, 25))))
    crowded = replace(leading, trials=(*raced.trials, *others))
    assert _text(verdict_tables(crowded)[0])[0][-2] == "19+: 2 7 8 9 10 …"


def test_without_outcomes_ties_are_unknown(raced: Report) -> None:
    report = _with(raced, replace(raced.verdicts[0], tied=(3,), optimism=None))
    assert _text(verdict_tables(report)[0])[0][-2] == "–"


def test_a_first_trial_that_is_the_best_is_not_beaten(raced: Report) -> None:
    report = Report(raced.info, raced.trials[:3])
    (mild,) = standings(report)
    assert (mild.best.number, mild.strongest) == (2, "knapsack")
    assert _text(verdict_tables(report)[1]) == [["50 %", "+6.2", "itself"]]


def test_the_strongest_first_trial_is_the_one_beaten_by_least(raced: Report) -> None:
    mild, hard = standings(raced)
    assert (mild.strongest, hard.strongest) == ("knapsack", None)


def test_losses_are_not_points(raced: Report) -> None:
    by_loss = replace(raced, trials=tuple(replace(trial, score=-trial.loss) for trial in raced.trials))
    found, won = verdict_tables(by_loss)
    # 0.375 ± 0.1308
    assert found.columns[2].title == "score"
    assert _text(found)[0][1:5] == ["3", "-0.3750", "-0.5058 to -0.2442", "0.0165"]
    assert "by about 0.0165 at 50 % (best of 5)" in found.note
    assert _text(won)[0][1] == "+0.1250 (+0.0500 to +0.2000)"
    assert won.note.startswith("Score (the negative loss) by which")


@pytest.mark.parametrize(("optimism", "shown"), [(-0.001, "0.0"), (float("nan"), "–"), (None, "–")])
def test_optimism_is_not_negative(raced: Report, optimism: float | None, shown: str) -> None:
    report = _with(raced, replace(raced.verdicts[0], optimism=optimism))
    assert _text(verdict_tables(report)[0])[0][4] == shown


def test_a_study_that_has_hardly_begun_has_no_lines(raced: Report) -> None:
    (found,) = verdict_tables(Report(raced.info, raced.trials[:1]))
    assert found.rows == ()


def test_first_trials_belong_to_their_budget(raced: Report) -> None:
    assert first_trial(raced.trials, "knapsack", 0.5) is raced.trials[2]
    assert first_trial(raced.trials, "knapsack", 0.75) is None
    assert first_trial(raced.trials, "fisher", 0.5) is None

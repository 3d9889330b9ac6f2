"""The tables of what a search found at each budget, how sure that is, and what it won over the first trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from aebert.reporting import units
from aebert.reporting.intervals import score_interval
from aebert.reporting.report import Report
from aebert.reporting.tables import (
    Cell,
    Column,
    Table,
    is_of_metric,
    other_score,
    ranked_columns,
    scored_on,
    trial_key,
    trial_name,
)
from aebert.search.first import first_origins, meaning_of
from aebert.search.front import best_per_budget, meets
from aebert.search.leaders import KEPT
from aebert.search.record import GainRecord, TrialRecord, Verdict

_SHOWN_TIES = 5


@dataclass(frozen=True)
class Standing:
    """What is known about one budget of a study so far.

    best: best of all candidates within the budget, whichever budget they were proposed for. candidates: how many
      architectures within the budget saw all search rows; stopped: how many a race stopped. gains: of the best over the
      first trials, by method.
    verdict: that of the search; None if there is none, or if it is about another best than the present one.
    """

    budget: float
    best: TrialRecord
    candidates: int
    stopped: int
    gains: Mapping[str, GainRecord]
    verdict: Verdict | None

    @property
    def optimism(self) -> float | None:
        """By how much the best score flatters, not below 0; None where that is unknown."""
        found = None if self.verdict is None else self.verdict.optimism
        return None if found is None or math.isnan(found) else max(0.0, found)

    @property
    def strongest(self) -> str | None:
        """The method whose first trial is least far behind the best."""
        return min(self.gains, key=lambda method: self.gains[method].value, default=None)


def standings(report: Report) -> list[Standing]:
    """One for each budget that a candidate meets, from the mildest to the hardest."""
    proposed = [trial for trial in report.trials if trial.budget is not None and trial.same_as is None]
    verdicts = {verdict.budget: verdict for verdict in report.verdicts}
    found = []
    for budget, best in best_per_budget(proposed, report.info).items():
        within = [trial for trial in proposed if meets(trial, budget, report.info)]
        stopped = sum(trial.stopped_at is not None for trial in within)
        verdict = verdicts.get(budget)
        current = verdict if verdict is not None and verdict.best == best.number else None
        gains = _gains(best, budget, report.trials, current)
        found.append(Standing(budget, best, len(within) - stopped, stopped, gains, current))
    return found


def _gains(
    best: TrialRecord, budget: float, trials: Sequence[TrialRecord], verdict: Verdict | None
) -> dict[str, GainRecord]:
    """Gains by method, without an interval where the search has not compared the two."""
    gains = {}
    for method in first_origins(trials):
        first = first_trial(trials, method, budget)
        if verdict is not None and method in verdict.gains:
            gains[method] = verdict.gains[method]
        elif first is not None and math.isfinite(first.score):
            gains[method] = GainRecord(first.number, best.score - first.score, None, None)
    return gains


def first_trial(trials: Sequence[TrialRecord], method: str, budget: float | None) -> TrialRecord | None:
    """The first trial of a method at a budget; None if there is none."""
    return next((trial for trial in trials if trial.origin == method and trial.budget == budget), None)


def verdict_tables(report: Report) -> list[Table]:
    """Two tables with one line per budget: what the search found, and what it won over the first trials."""
    found = standings(report)
    tables = [_found_table(report, found)]
    return [*tables, _won_table(report, found)] if any(standing.gains for standing in found) else tables


def _found_table(report: Report, found: Sequence[Standing]) -> Table:
    score = report.info.metric if is_of_metric(report) else "score"
    ranks = {"budget": 0, "best trial": 0, score: 0, "95 %": 1, "flatters by": 2, "candidates": 2, "stopped": 3}
    return Table(
        f"What the search found in {report.info.name}",
        (*ranked_columns(ranks), Column("tied with the best", "text", 1), Column("chosen", rank=0)),
        tuple(_found_row(standing, report) for standing in found),
        "\n".join([*_found_note(report), *_remarks(report, found)]),
    )


def _found_note(report: Report) -> Iterator[str]:
    yield (
        "chosen is the candidate to fine-tune first: of the best and those tied with it, the nearest to the dense "
        "model, row by row."
    )
    yield f"Scores are {scored_on(report)}; 95 % is the interval of the best score for rows like these."
    yield (
        "candidates are the architectures within the budget that saw all rows; stopped are those that a race stopped "
        "before that, as clearly behind."
    )
    yield (
        "tied with the best are other trials that may as well be best on rows like these, with 95 % confidence, among "
        f"the {KEPT} leading ones."
    )


def _found_row(standing: Standing, report: Report) -> tuple[Cell, ...]:
    best, scale = standing.best, _Scale(is_of_metric(report), other_score(report))
    bounds = score_interval(best)
    return (
        Cell(units.budget(standing.budget, report.info.budget_kind), standing.budget),
        Cell(trial_name(best), best.number, trial_key(best.number)),
        Cell(scale.score(best.score), best.score),
        Cell(scale.span(bounds), bounds and bounds[0]),
        Cell(units.MISSING if standing.optimism is None else scale.score(standing.optimism), standing.optimism),
        Cell(str(standing.candidates), standing.candidates),
        Cell(str(standing.stopped), standing.stopped),
        _ties(standing),
        _chosen(standing),
    )


def _chosen(standing: Standing) -> Cell:
    if standing.verdict is None:
        return Cell(units.MISSING, None)
    number = standing.verdict.chosen
    return Cell(str(number), number, trial_key(number))


def _ties(standing: Standing) -> Cell:
    verdict = standing.verdict
    if verdict is None or standing.optimism is None:  # without outcomes there are neither
        return Cell(units.MISSING, None)
    tied = verdict.tied[1:]
    # the search compares only the leading candidates: there may be more ties behind them
    more = "+" if len(verdict.tied) == KEPT < standing.candidates else ""
    shown = " ".join(map(str, tied[:_SHOWN_TIES])) + (" …" if len(tied) > _SHOWN_TIES else "")
    return Cell(f"{len(tied)}{more}: {shown}" if tied else "none", len(tied))


def _remarks(report: Report, found: Sequence[Standing]) -> Iterator[str]:
    scale, kind = _Scale(is_of_metric(report), other_score(report)), report.info.budget_kind
    flattery = [
        f"{scale.about(standing.optimism)} at {units.budget(standing.budget, kind)} (best of {standing.candidates})"
        for standing in found
        if standing.optimism is not None and standing.candidates > 1
    ]
    if flattery:
        yield f"The best score flatters, because it is the best of many on these rows: by {', '.join(flattery)}."
    for standing in found:
        name = units.budget(standing.budget, kind)
        if standing.best.budget != standing.budget:
            yield (
                f"At {name} the best, trial {standing.best.number}, was proposed for "
                f"{units.budget(standing.best.budget, kind)}; nothing proposed for {name} scores higher."
            )
    if any(standing.verdict is None for standing in found):
        yield f"{units.MISSING} becomes known when a search has ended that compares its candidates row by row."


def _won_table(report: Report, found: Sequence[Standing]) -> Table:
    methods = [method for method in first_origins(report.trials) if any(method in standing.gains for standing in found)]
    scale = _Scale(is_of_metric(report), other_score(report))
    meanings = ", ".join(f"{method} ({meaning_of(method)})" for method in methods)
    architectures = {trial.number: trial.architecture for trial in report.trials}
    rows = []
    for standing in found:
        itself = {
            gain.number for gain in standing.gains.values() if architectures[gain.number] == standing.best.architecture
        }
        cells = [_gain(standing.gains.get(method), itself, scale) for method in methods]
        rows.append((Cell(units.budget(standing.budget, report.info.budget_kind), standing.budget), *cells))
    return Table(
        f"What the search won in {report.info.name}",
        (Column("budget", rank=0), *(Column(f"over {method}") for method in methods)),
        tuple(rows),
        f"{scale.title} by which the best of a budget beats its first trials: clearly where the whole interval is "
        "above 0.\nIn brackets is the 95 % interval of the difference on the same rows. The best was chosen on these "
        "rows, which flatters its gains as it does its score; itself means that the first trial is the best.\n"
        f"The first trials are {meanings}.{_won_nothing(report, found)}",
    )


def _won_nothing(report: Report, found: Sequence[Standing]) -> str:
    """A sentence on the budgets whose best the rows can't tell from a first trial; empty where there are none."""
    kind = report.info.budget_kind
    none = [units.budget(one.budget, kind) for one in found if any(map(_is_unclear, one.gains.values()))]
    if not none:
        return ""
    return f"\nAt {' and '.join(none)} the search won nothing over its strongest first trial that these rows can show."


def _is_unclear(gain: GainRecord) -> bool:
    return gain.low is not None and gain.low <= 0


def _gain(gain: GainRecord | None, itself: set[int], scale: _Scale) -> Cell:
    if gain is None:
        return Cell(units.MISSING, None)
    if gain.number in itself:
        return Cell("itself", gain.value)
    known = gain.low is not None and gain.high is not None and not math.isnan(gain.low)
    between = f" ({scale.difference(gain.low)} to {scale.difference(gain.high)})" if known else ""
    return Cell(f"{scale.difference(gain.value)}{between}", gain.value)


@dataclass(frozen=True)
class _Scale:
    """How scores are shown: as points where they are the headline metric, else as they are (then `other` is said)."""

    points: bool
    other: str

    @property
    def title(self) -> str:
        return "Points" if self.points else f"Score ({self.other})"

    def score(self, value: float) -> str:
        return units.points(value) if self.points else f"{value:.4f}"

    def span(self, bounds: tuple[float, float] | None) -> str:
        if bounds is None or self.points:
            return units.span(bounds)
        return f"{bounds[0]:.4f} to {bounds[1]:.4f}"

    def difference(self, value: float | None) -> str:
        return units.difference(value) if self.points or value is None else f"{value:+.4f}"

    def about(self, value: float) -> str:
        least, text = (0.0005, "0.05 points") if self.points else (0.00005, "0.00005")
        shown = f"{self.score(value)} points" if self.points else self.score(value)
        return f"less than {text}" if value < least else f"about {shown}"

"""The answer to which file to ship, in at most three lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from aebert.reporting import units
from aebert.reporting.best import DENSE, INT8, Answer, Offers, Times, Wish, offers
from aebert.reporting.report import Report
from aebert.reporting.rows import ProfileRow
from aebert.reporting.shipped import FLOAT32


def best_file(report: Report, wish: Wish, times: Times | None = None) -> Answer:
    """The fastest file that keeps a wish, of those that ship: of each model the quantized one, if there is one.

    times: by default what was measured at the end of the run. Raises: StudyError, as `offers`.
    """
    found = offers(report, wish, times)
    if found.fit:
        return Answer(found.fit[0], tuple(_why(found)))
    return Answer(None, tuple(_nothing(found)))


# --- a file keeps the wish ---------------------------------------------------------------------------------------


def _why(found: Offers) -> Iterator[str]:
    report, best = found.report, found.fit[0]
    rows = f"{report.rows['report']:,} report rows" if "report" in report.rows else "the report rows"
    yield (
        f"Ship {best.file}: {report.info.metric} {units.points(best.report_score)}{_interval(report, best)} on {rows}, "
        f"{units.significant(found.ms(best))} ms, {units.megabytes(best.size_bytes)} MB."
    )
    dense = [one for one in report.profiles if one.name == DENSE and one.kind in (INT8, FLOAT32) and one != best]
    against = [
        f"against {one.file}: {_against(found, best, one)}" for one in sorted(dense, key=lambda one: one.size_bytes)
    ]
    if against:
        yield f"A{'; '.join(against)[1:]}."
    yield _rule(found) + _ties(found) + _about(found)


def _interval(report: Report, one: ProfileRow) -> str:
    for row in report.finalists:
        found = row.int8_report_interval if one.kind == INT8 else row.report_interval
        if row.name == one.name and found is not None:
            return f" (95 % interval {units.points(found[0])} to {units.points(found[1])})"
    return ""


def _against(found: Offers, one: ProfileRow, other: ProfileRow) -> str:
    parts = []
    if other.file in found.times.ms:
        speed = found.ms(other) / found.ms(one)
        parts.append(f"{speed:.2f} times as fast" if speed >= 1 else f"{1 / speed:.2f} times SLOWER")
    size = other.size_bytes / one.size_bytes
    parts.append(f"{size:.1f} times smaller" if size >= 1 else f"{1 / size:.1f} times LARGER")
    difference = found.report.difference(one.file, other.file)
    if difference is None:
        return ", ".join(parts)
    between = (
        ""
        if math.isnan(difference.low)
        else f" ({units.difference(difference.low)} to {units.difference(difference.high)})"
    )
    return ", ".join([f"{units.difference(difference.value)} points{between}", *parts])


def _rule(found: Offers) -> str:
    fit, asked = found.fit, _listed([*_costs(found.wish), *_scores(found.wish)])
    which = f"the fastest of {len(fit)} files that keep" if len(fit) > 1 else "the only file that keeps"
    smaller = " No smaller model does." if len(fit) == 1 and fit[0].name == DENSE else ""
    return f"It is {which} what was asked ({asked}).{smaller}"


def _ties(found: Offers) -> str:
    best, *others = found.fit
    tied = [one.file for one in others if found.is_tied(best, one)]
    return f" The report rows can't tell its score from that of {_listed(tied)}." if tied else ""


def _about(found: Offers) -> str:
    """What the milliseconds are, where they are not those of a quiet machine at the end of the run."""
    if found.times.about:
        return f" Milliseconds are of {found.times.about}."
    if found.report.machine.get("all_runs_quiet") is False:
        return " OTHER PROCESSES WERE BUSY while times were measured, so take them with care."
    return ""


# --- no file does ------------------------------------------------------------------------------------------------


def _nothing(found: Offers) -> Iterator[str]:
    costs, scores = list(_costs(found.wish)), list(_scores(found.wish))
    yield (
        f"No file of {found.report.info.name} that ships keeps what was asked ({_listed([*costs, *scores])})."
        f"{_about(found)}"
    )
    yield _nearest_in_score(found, costs)
    if costs:
        yield _nearest_in_cost(found, scores)


def _nearest_in_score(found: Offers, costs: Sequence[str]) -> str:
    """Of the files that cost no more than asked, the one that lacks least in score."""
    if not found.affordable:
        one = min(found.files, key=lambda one: _excess(found, one))
        missing = _faults(_costs_too_much(found, one))
        return f"With {_listed(costs)} there is none, whatever it scores: the nearest is {one.file}, which {missing}."
    one = max(found.affordable, key=lambda one: _standing(found, one))
    within = f"With {_listed(costs)} the nearest" if costs else "The nearest"
    return f"{within} is {one.file}, which {_faults(_scores_too_little(found, one))}.{_advice(found, one)}"


def _nearest_in_cost(found: Offers, scores: Sequence[str]) -> str:
    """Of the files that score what was asked, the one that costs least too much."""
    if not found.good:
        one = max(found.files, key=lambda one: _standing(found, one))
        missing = _faults(_scores_too_little(found, one))
        return f"With {_listed(scores)} there is none, whatever it costs: the nearest is {one.file}, which {missing}."
    one = min(found.good, key=lambda one: _excess(found, one))
    return f"With {_listed(scores)} the nearest is {one.file}, which {_faults(_costs_too_much(found, one))}."


def _standing(found: Offers, one: ProfileRow) -> tuple[float, float]:
    """How near a file is to the score asked for, higher is nearer; where a loss is asked for too, that counts first."""
    low, score = found.from_dense(one).low, one.report_score
    loss = 0.0 if found.wish.loss_limit is None else low
    known = [-math.inf if value is None or math.isnan(value) else value for value in (loss, score)]
    return known[0], known[1]


def _advice(found: Offers, one: ProfileRow) -> str:
    """What would make it the answer, if it is only the loss that stands against it."""
    difference, limit = found.from_dense(one), found.wish.loss_limit
    if limit is None or found.is_bad(one) or math.isnan(difference.low):
        return ""
    rows = " More report rows would narrow the interval." if 100 * difference.value >= -limit else ""
    return f" --max-loss {math.ceil(-1000 * difference.low) / 10:g} is enough for it.{rows}"


def _excess(found: Offers, one: ProfileRow) -> float:
    """How many times as much as asked a file costs, in ms or in MB, whichever is more."""
    wish = found.wish
    parts = [] if wish.latency_ms is None else [found.ms(one) / wish.latency_ms]
    return max([*parts, *([] if wish.size_mb is None else [one.size_bytes / 1e6 / wish.size_mb])], default=0.0)


def _costs_too_much(found: Offers, one: ProfileRow) -> Iterator[str]:
    if found.is_slow(one):
        yield f"takes {units.significant(found.ms(one))} ms"
    if found.is_large(one):
        yield f"has {units.megabytes(one.size_bytes)} MB"


def _scores_too_little(found: Offers, one: ProfileRow) -> Iterator[str]:
    if found.is_bad(one):
        yield f"scores {units.points(one.report_score)}"
    if found.is_lossy(one):
        low = found.from_dense(one).low
        yield f"may lose {'an unknown number of' if math.isnan(low) else f'up to {-100 * low:.1f}'} points"


def _faults(parts: Iterator[str]) -> str:
    return _listed(list(parts))


# --- what was asked ----------------------------------------------------------------------------------------------


def _costs(wish: Wish) -> Iterator[str]:
    if wish.latency_ms is not None:
        yield f"at most {wish.latency_ms:g} ms"
    if wish.size_mb is not None:
        yield f"at most {wish.size_mb:g} MB"


def _scores(wish: Wish) -> Iterator[str]:
    if wish.min_score is not None:
        yield f"a score of at least {units.points(wish.min_score)}"
    if wish.loss_limit is not None:
        points = f"{wish.loss_limit:g} point{'' if wish.loss_limit == 1 else 's'}"
        yield f"at most {points} lost by the whole 95 % interval"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

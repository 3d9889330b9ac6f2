"""Which file to ship: the answer that a study is run for, from its summary alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aebert.errors import StudyError
from aebert.reporting import units
from aebert.reporting.report import FileDifference, ProfileRow, Report
from aebert.reporting.shipped import FLOAT32

_DENSE, _INT8 = "dense", "int8"


@dataclass(frozen=True)
class Wish:
    """What a file must keep. latency_ms: median time of a call. min_score: headline metric, as a share.

    max_loss: points (× 100) that the score may lie below the dense model's, by the whole 95 % interval of the
      difference; not asked for where min_score is given.
    baselines: whether a baseline that the finalists are held against may be the answer.
    """

    latency_ms: float | None = None
    size_mb: float | None = None
    min_score: float | None = None
    max_loss: float = 1.0
    baselines: bool = False


@dataclass(frozen=True)
class Answer:
    """file: the one to ship, None where none keeps the wish. lines: the answer in sentences, each on a line."""

    file: ProfileRow | None
    lines: tuple[str, ...] = field(default=())


def best_file(report: Report, wish: Wish) -> Answer:
    """The fastest file that keeps a wish, of those that ship: of each model the quantized one, if there is one.

    Raises: StudyError where nothing is measured yet, or a version that did not compare files measured it.
    """
    files = _shipped(report, wish)
    if not files or not report.differences:
        raise StudyError(
            f"study {report.info.name!r} has no files that were measured and compared: run `aebert run` with its config"
        )
    faults = {one.file: list(_faults(report, one, wish)) for one in files}
    fit = sorted((one for one in files if not faults[one.file]), key=lambda one: one.p50_ms)
    if not fit:
        return Answer(None, tuple(_nothing(report, wish, files, faults)))
    return Answer(fit[0], tuple(_why(report, wish, fit)))


def _shipped(report: Report, wish: Wish) -> list[ProfileRow]:
    left_out = {row.name for row in report.finalists if row.is_baseline and not wish.baselines}
    found: dict[str, ProfileRow] = {}
    for row in (row for row in report.profiles if row.name not in left_out):
        if row.kind == _INT8 or (row.kind == FLOAT32 and row.name not in found):
            found[row.name] = row
    return list(found.values())


def _faults(report: Report, one: ProfileRow, wish: Wish) -> Iterator[str]:
    """Why a file does not keep a wish, each as the end of a sentence."""
    if wish.latency_ms is not None and one.p50_ms > wish.latency_ms:
        yield f"takes {units.significant(one.p50_ms)} ms"
    if wish.size_mb is not None and one.size_bytes > 1e6 * wish.size_mb:
        yield f"has {units.megabytes(one.size_bytes)} MB"
    if wish.min_score is not None:
        if one.report_score is None or one.report_score < wish.min_score:
            yield f"scores {units.points(one.report_score)}"
    elif not 100 * _from_dense(report, one).low >= -wish.max_loss:  # also where it is not known
        yield f"may lose {_most_lost(report, one)}"


def _from_dense(report: Report, one: ProfileRow) -> FileDifference:
    dense = f"{_DENSE} {FLOAT32}"
    found = report.difference(one.file, dense)
    # a model that ships in float32 alone is compared with itself where it is the dense one
    return found or FileDifference(one.file, dense, *((0.0,) * 3 if one.file == dense else (math.nan,) * 3))


def _most_lost(report: Report, one: ProfileRow) -> str:
    low = _from_dense(report, one).low
    return "an unknown number of points" if math.isnan(low) else f"up to {-100 * low:.1f} points"


def _why(report: Report, wish: Wish, fit: Sequence[ProfileRow]) -> Iterator[str]:
    best = fit[0]
    rows = f"{report.rows['report']:,} report rows" if "report" in report.rows else "the report rows"
    yield (
        f"Ship {best.file}: {report.info.metric} {units.points(best.report_score)}{_interval(report, best)} on {rows}, "
        f"{units.significant(best.p50_ms)} ms, {units.megabytes(best.size_bytes)} MB."
    )
    for other in report.profiles:
        if other.name == _DENSE and other.kind in (FLOAT32, _INT8) and other.file != best.file:
            yield f"Against {other.file}: {_against(report, best, other)}."
    asked = ", ".join(_asked(wish))
    others = [one.file for one in fit[1:] if _is_tied(report, best, one)]
    tied = f" The report rows can't tell its score from that of {', '.join(others)}." if others else ""
    which = f"the fastest of {len(fit)} files that keep" if len(fit) > 1 else "the only file that keeps"
    yield f"It is {which} what was asked ({asked}).{tied}"


def _interval(report: Report, one: ProfileRow) -> str:
    for row in report.finalists:
        found = row.int8_report_interval if one.kind == _INT8 else row.report_interval
        if row.name == one.name and found is not None:
            return f" (95 % interval {units.points(found[0])} to {units.points(found[1])})"
    return ""


def _against(report: Report, one: ProfileRow, other: ProfileRow) -> str:
    speed, size = other.p50_ms / one.p50_ms, other.size_bytes / one.size_bytes
    parts = [
        f"{speed:.2f} times as fast" if speed >= 1 else f"{1 / speed:.2f} times SLOWER",
        f"{size:.1f} times smaller" if size >= 1 else f"{1 / size:.1f} times LARGER",
    ]
    found = report.difference(one.file, other.file)
    if found is None:
        return ", ".join(parts)
    between = "" if math.isnan(found.low) else f" ({units.difference(found.low)} to {units.difference(found.high)})"
    return ", ".join([f"{units.difference(found.value)} points{between}", *parts])


def _asked(wish: Wish) -> Iterator[str]:
    if wish.latency_ms is not None:
        yield f"at most {wish.latency_ms:g} ms"
    if wish.size_mb is not None:
        yield f"at most {wish.size_mb:g} MB"
    if wish.min_score is not None:
        yield f"a score of at least {units.points(wish.min_score)}"
    else:
        yield f"at most {wish.max_loss:g} point{'' if wish.max_loss == 1 else 's'} lost, by the whole 95 % interval"


def _is_tied(report: Report, one: ProfileRow, other: ProfileRow) -> bool:
    found = report.difference(one.file, other.file)
    return found is not None and not (found.low > 0 or found.high < 0)


def _nothing(report: Report, wish: Wish, files: Sequence[ProfileRow], faults: dict[str, list[str]]) -> Iterator[str]:
    yield f"No file of {report.info.name} that ships keeps what was asked ({', '.join(_asked(wish))})."
    for one in sorted(files, key=lambda one: one.p50_ms):
        yield f"{one.file} {' and '.join(faults[one.file])}."
    lost = [file for file, found in faults.items() if len(found) == 1 and found[0].startswith("may lose up")]
    fastest = next((one for one in sorted(files, key=lambda one: one.p50_ms) if one.file in lost), None)
    if fastest is not None:
        most = math.ceil(-1000 * _from_dense(report, fastest).low) / 10
        yield f"--max-loss {most:g} takes {fastest.file}; more report rows would narrow the intervals."

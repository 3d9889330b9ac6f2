"""Which file to ship: the answer that a study is run for, from its summary alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aebert.errors import StudyError
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference, ProfileRow
from aebert.reporting.shipped import FLOAT32

DENSE, INT8 = "dense", "int8"
_ALLOWED_LOSS = 1.0  # points, where neither a score nor a loss is asked for


@dataclass(frozen=True)
class Wish:
    """What a file must keep. latency_ms: median time of a call. min_score: headline metric, as a share.

    max_loss: points (× 100) that the score may lie below the dense model's, by the whole 95 % interval of the
      difference; 1 where neither it nor min_score is given.
    baselines: whether a baseline that the finalists are held against may be the answer.
    """

    latency_ms: float | None = None
    size_mb: float | None = None
    min_score: float | None = None
    max_loss: float | None = None
    baselines: bool = False

    @property
    def loss_limit(self) -> float | None:
        """The loss that is allowed; None where only a score is asked for."""
        return _ALLOWED_LOSS if self.max_loss is None and self.min_score is None else self.max_loss


@dataclass(frozen=True)
class Times:
    """Milliseconds of a call by `ProfileRow.file`; files that are not in it can't be chosen.

    about: the device and the requests; empty for what was measured at the end of the run.
    """

    ms: Mapping[str, float]
    about: str = ""


@dataclass(frozen=True)
class Offers:
    """The files that a wish is held against: of each model the one that ships.

    files: the fastest first. fit: those that keep the wish. affordable: those that keep its limits on ms and MB.
    good: those that keep its limits on score and loss.
    """

    report: Report
    wish: Wish
    times: Times
    files: tuple[ProfileRow, ...]

    @property
    def fit(self) -> list[ProfileRow]:
        """The files that keep the wish."""
        good = self.good
        return [one for one in self.affordable if one in good]

    @property
    def affordable(self) -> list[ProfileRow]:
        """The files that keep its limits on ms and MB."""
        return [one for one in self.files if not (self.is_slow(one) or self.is_large(one))]

    @property
    def good(self) -> list[ProfileRow]:
        """The files that keep its limits on score and loss."""
        return [one for one in self.files if not (self.is_bad(one) or self.is_lossy(one))]

    def ms(self, one: ProfileRow) -> float:
        """Milliseconds of a call."""
        return self.times.ms[one.file]

    def is_slow(self, one: ProfileRow) -> bool:
        """Whether a file takes longer than asked."""
        return self.wish.latency_ms is not None and self.ms(one) > self.wish.latency_ms

    def is_large(self, one: ProfileRow) -> bool:
        """Whether a file is larger than asked."""
        return self.wish.size_mb is not None and one.size_bytes > 1e6 * self.wish.size_mb

    def is_bad(self, one: ProfileRow) -> bool:
        """Whether a file scores less than asked, or has no score."""
        least = self.wish.min_score
        return least is not None and (one.report_score is None or not one.report_score >= least)

    def is_lossy(self, one: ProfileRow) -> bool:
        """Whether a file may lose more than asked; also where that is not known."""
        limit = self.wish.loss_limit
        # rounding errors of floats are forgiven, so that a loss of 0.7 points is within 0.7
        return limit is not None and not 100 * self.from_dense(one).low >= -limit - 1e-9

    def from_dense(self, one: ProfileRow) -> FileDifference:
        """How much a file scores above the dense float32 file; NaN where they were not compared."""
        dense = f"{DENSE} {FLOAT32}"
        found = self.report.difference(one.file, dense)
        # a model that ships in float32 alone is compared with itself where it is the dense one
        return found or FileDifference(one.file, dense, *((0.0,) * 3 if one.file == dense else (math.nan,) * 3))

    def is_tied(self, one: ProfileRow, other: ProfileRow) -> bool:
        """Whether the report rows can't tell the scores of two files apart."""
        found = self.report.difference(one.file, other.file)
        return found is not None and not (found.low > 0 or found.high < 0)


@dataclass(frozen=True)
class Answer:
    """file: the one to ship, None where none keeps the wish. lines: at most three, each of a sentence or two."""

    file: ProfileRow | None
    lines: tuple[str, ...] = field(default=())


def offers(report: Report, wish: Wish, times: Times | None = None) -> Offers:
    """What a wish is held against.

    times: by default what was measured at the end of the run.

    Raises: StudyError where nothing is measured yet, a version that did not compare files measured it, or no file has
      a time.
    """
    shipped = shipped_files(report, baselines=wish.baselines)
    if not shipped or not report.differences:
        raise StudyError(
            f"study {report.info.name!r} has no files that were measured and compared: run `aebert run` with its config"
        )
    times = times or Times({one.file: one.p50_ms for one in report.profiles})
    timed = [one for one in shipped if one.file in times.ms]
    if not timed:
        raise StudyError(f"no file of study {report.info.name!r} that ships has a time on {times.about}")
    return Offers(report, wish, times, tuple(sorted(timed, key=lambda one: times.ms[one.file])))


def shipped_files(report: Report, *, baselines: bool) -> Sequence[ProfileRow]:
    """Of each model the file that ships: the quantized one, if there is one.

    baselines: whether the baselines that finalists are held against are among the models.
    """
    left_out = {row.name for row in report.finalists if row.is_baseline and not baselines}
    found: dict[str, ProfileRow] = {}
    for row in (row for row in report.profiles if row.name not in left_out):
        if row.kind == INT8 or (row.kind == FLOAT32 and row.name not in found):
            found[row.name] = row
    return list(found.values())

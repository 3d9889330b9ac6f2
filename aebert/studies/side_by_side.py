"""Comparing studies that are on disk: their files, row by row where they answered the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aebert.errors import ConfigError, StudyError
from aebert.reporting.best import INT8
from aebert.reporting.rows import FileDifference
from aebert.reporting.shipping import ShippedFile, files_of
from aebert.reporting.side_by_side import Contender, Gap, SideBySide, independent
from aebert.search.difference import CONFIDENCE
from aebert.studies.opening import open_report
from aebert.terminal import quiet_loggers


@dataclass(frozen=True)
class _Answers:
    """What a file did on each report row. same: digest of the rows, the metric and the labels."""

    same: tuple[Any, ...]
    outcomes: str


def compare_studies(studies: Sequence[str], results: Path) -> SideBySide:
    """Open studies by name or path, and compare their files with the one that the first study ships.

    Raises: ConfigError for fewer than two studies, one that is given twice, and studies of different metrics;
      StudyError for one whose files are not scored and measured yet.
    """
    if len(studies) < 2:
        raise ConfigError(f"compare takes two studies or more, got {len(studies)}")
    opened = [open_report(study, results) for study in studies]
    folders = [folder for _, folder in opened]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ConfigError(f"compare takes each study once, got {', '.join(studies)}")
    names = [folder.resolve().name for folder in folders]
    names = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    contenders = []
    for name, (report, _) in zip(names, opened, strict=True):
        files = tuple(files_of(report))
        if not files:
            raise StudyError(
                f"study {name!r} has no files that were scored and measured: run `aebert run` with its config"
            )
        contenders.append(Contender(name, report, files))
    _check_metrics(contenders)
    return SideBySide(tuple(contenders), tuple(_gaps(contenders, folders)))


def _check_metrics(contenders: Sequence[Contender]) -> None:
    metrics = {each.name: each.report.info.metric for each in contenders}
    if len(set(metrics.values())) > 1:
        said = ", ".join(f"{name} has {metric}" for name, metric in metrics.items())
        raise ConfigError(f"compare takes studies of one metric: {said}")


def _gaps(contenders: Sequence[Contender], folders: Sequence[Path]) -> Iterator[Gap]:
    first = contenders[0]
    reference, answers = first.best, _answers(folders[0], first.best)
    for each, folder in zip(contenders, folders, strict=True):
        for one in each.files:
            if each is first and one == reference:
                continue
            known = each.report.difference(one.file, reference.file) if each is first else None
            found = known or _paired(one, _answers(folder, one), reference, answers, each.report.info.metric)
            yield Gap(each.name, found or independent(one, reference), paired=found is not None)


def _answers(folder: Path, one: ShippedFile) -> _Answers | None:
    """What a file answered; None where the folder was not copied with its stages, or an old version kept no answers."""
    name = f"{one.profile.name}{'.int8' if one.profile.kind == INT8 else ''}"
    try:
        record = json.loads((folder / "stages" / f"report-{name}.json").read_text(encoding="utf-8"))
        detail, outcomes = record["detail"], record["result"]["outcomes"]
        return _Answers((detail["rows"][0], detail["metric"], tuple(detail["labels"])), outcomes)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _paired(
    one: ShippedFile, mine: _Answers | None, other: ShippedFile, theirs: _Answers | None, headline: str
) -> FileDifference | None:
    """The difference row by row; None where the two answered other rows, or what they answered is not known."""
    if mine is None or theirs is None or mine.same != theirs.same:
        return None
    _, metric, labels = mine.same
    if metric.startswith("evaluate:"):  # its script may be another one here
        return None
    quiet_loggers()
    from aebert.search.judge import Judge  # here, since it takes torch, and unpaired studies are compared without
    from aebert.search.outcomes import Outcomes
    from aebert.tasks.metrics import METRICS
    from aebert.tasks.task import TaskSpec

    (kind, *_) = METRICS[metric].kinds
    spec = TaskSpec("compared", kind, (), "", labels, metric, headline)
    found = Judge(spec).difference(Outcomes.decode(mine.outcomes), Outcomes.decode(theirs.outcomes))
    return FileDifference(one.file, other.file, found.value, found.low(CONFIDENCE), found.high(CONFIDENCE))

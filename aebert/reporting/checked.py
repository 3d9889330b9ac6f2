"""What a run starts from, as it was understood before any work, in lines that a user reads before hours are spent."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aebert.reporting import units
from aebert.reporting.vocabulary import SmallVocabulary, saved_line, vocabulary_lines

_WIDTH = 79
_INDENT = 9  # columns of the titles
_CLASSES = 8  # classes of a role that are listed


@dataclass(frozen=True)
class DenseScore:
    """The headline metric (0..1) of a checkpoint that counts as fine-tuned, before any work.

    interval: of 95 %, None where there is none. guess: what a model that knows nothing gets there; guess_is: how.
    """

    metric: str
    value: float
    interval: tuple[float, float] | None
    rows: int
    guess: float
    guess_is: str


@dataclass(frozen=True)
class Checked:
    """What a run starts from.

    checkpoint: as `CheckpointFacts.to_dict`. trains: whether the dense model is fine-tuned first.
    lengths: by role, as `Lengths.to_dict`, at max_length tokens; window: whether longer rows are read in windows of it,
      and not cut. classes: by role, the number of rows of each class, or
      of entities of each type; empty for regression.
    score: None where the dense model is fine-tuned first.
    seconds, bytes: what the run is expected to take, by part; see `aebert.run.expected`.
    notes: what else a user should know, one line each. unlabelled: rows besides, whose labels are not read.
    vocabulary: what `pruning.vocabulary` leaves of the tokenizer's; None where all pieces are kept.
    """

    model: str
    checkpoint: Mapping[str, Any]
    trains: bool
    max_length: int
    window: bool
    lengths: Mapping[str, Mapping[str, int]]
    classes: Mapping[str, Mapping[str, int]]
    score: DenseScore | None
    seconds: Mapping[str, float]
    bytes: Mapping[str, int]
    notes: tuple[str, ...]
    unlabelled: int = 0
    vocabulary: SmallVocabulary | None = None

    @property
    def study_notes(self) -> tuple[str, ...]:
        """The notes of a study that starts from it, which say that its dense model has a smaller vocabulary."""
        return self.notes if self.vocabulary is None else (*self.notes, saved_line(self.vocabulary))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {**asdict(self), "vocabulary": self.vocabulary and self.vocabulary.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Checked:
        """Inverse of `to_dict`."""
        score = values["score"] and {**values["score"], "interval": pair(values["score"]["interval"])}
        vocabulary = values.get("vocabulary")  # older versions have none
        made = {"score": score and DenseScore(**score), "notes": tuple(values["notes"])}
        return cls(**{**values, **made, "vocabulary": vocabulary and SmallVocabulary.from_dict(vocabulary)})


def pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    """An interval as it was before JSON made a list of it."""
    return None if values is None else (values[0], values[1])


def checked_lines(found: Checked, *, finished: bool = False) -> list[str]:
    """The lines that show it, at most 79 columns wide.

    finished: leave out what only matters before the run, and notes, which reports list.
    """
    parts = {
        "Model": [_model(found)],
        "Output": [_output(found)],
        "Tokens": [_tokenizer(found)],
        "Pieces": [] if found.vocabulary is None else list(vocabulary_lines(found.vocabulary)),
        "Rows": list(_rows(found)),
        "Score": [_score(found)],
    }
    if not finished:
        parts |= {"Expect": [_expected(found)], "Notes": list(found.notes)}
    return [line for title, texts in parts.items() for line in _wrapped(title, texts)]


def _wrapped(title: str, texts: Sequence[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        start = f"{title if number == 0 else '':{_INDENT}}"
        more = " " * (_INDENT + (2 if len(texts) > 1 else 0))
        yield from textwrap.wrap(text, _WIDTH, initial_indent=start, subsequent_indent=more, break_on_hyphens=False)


def _model(found: Checked) -> str:
    of, shape = found.checkpoint, found.checkpoint["shape"]
    heads, ffn = (_same(shape[key]) for key in ("heads", "ffn"))
    layers = f"{len(shape['heads'])} layers of {shape['hidden']}, {heads} heads and {ffn} FFN neurons each"
    files = f"{', '.join(of['files'])} ({', '.join(of['dtypes'])})"
    return f"{found.model}: {of['family']}, {layers}, {of['parameters']:,} parameters, from {files}"


def _same(values: Sequence[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"


def _output(found: Checked) -> str:
    of = found.checkpoint
    if not of["head_kept"]:
        return "new; the dense model is fine-tuned first"
    names = ", ".join(label if label == name else f"{label} = {name}" for label, name in of["outputs"].items())
    trained = "; fine-tuned further first (dense.train: always)" if found.trains else ""
    return f"the checkpoint's own ({of['stored_class']}{': ' if names else ''}{names}){trained}"


def _tokenizer(found: Checked) -> str:
    of = found.checkpoint
    case = "capitals become small letters" if of["lowercases"] else "capitals are kept"
    longer = "read in windows of" if found.window else "cut at"
    return (
        f"{of['tokenizer']}, {of['vocabulary']:,} pieces, {case}; {of['positions']} positions, longer rows are "
        f"{longer} {found.max_length}"
    )


def _rows(found: Checked) -> Iterator[str]:
    for role, lengths in found.lengths.items():
        cut = f", {lengths['cut']:,} cut" if lengths["cut"] else ""
        yield f"{role}: {lengths['rows']:,}, longest {lengths['longest']:,} tokens{cut}{_classes(found.classes[role])}"
    if found.unlabelled:
        yield f"without labels: {found.unlabelled:,}, on which candidates are compared with the dense model"


def _classes(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    if len(counts) <= _CLASSES:
        return "; " + ", ".join(f"{name} {count:,}" for name, count in counts.items())
    rarest, commonest = (choose(counts, key=lambda name: counts[name]) for choose in (min, max))
    return f"; {len(counts)} classes, from {rarest} {counts[rarest]:,} to {commonest} {counts[commonest]:,}"


def _score(found: Checked) -> str:
    if found.score is None:
        return "not known before that"
    score = found.score
    low, high = score.interval or (float("nan"),) * 2
    interval = f" (95 % interval {100 * low:.1f} to {100 * high:.1f})" if score.interval else ""
    return (
        f"{score.metric} {units.points(score.value)}{interval} on {score.rows:,} search rows; "
        f"guessing scores {units.points(score.guess)} ({score.guess_is})"
    )


def _expected(found: Checked) -> str:
    parts = ", ".join(f"{name} {_duration(value)}" for name, value in found.seconds.items() if value >= 1)
    total = f"about {_duration(sum(found.seconds.values()))} on this machine ({parts})"
    return f"{total}, and {_size(sum(found.bytes.values()))} of disk; a rough guess from one timed pass"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"

"""What a bundle is checked with: texts and their ids, rows and their logits, and how far the logits may differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from aebert.runtime.manifest import Case, Probe
from aebert.runtime.session import Graph
from aebert.runtime.words import is_mark
from aebert.tasks.encoding import encode_windows, join_windows
from aebert.tasks.task import EncodedRow, Row, TaskSpec

CASES = 4
_MOST_TOKENS = 64  # of a parity vector, if there are rows this short, since NER has logits for each token

# These have every kind of character that tokenizers treat specially, and are nobody's data.
_TEXTS = (
    "The quick brown fox, aged 3.14, jumps over 1,000 lazy dogs!",
    "Naïve café – “déjà vu” (5 %), e-mail: someone@example.org; don't/can't",
    "U.S. COVID-19 α-synuclein µg/ml 日本語 🙂 ＡＢＣ ́x",
    "  blanks   and\u00a0more ",
)


def word_rule(rows: Sequence[Row]) -> str:
    """The rule by which a plain text is cut into words like those of NER rows, of `aebert.runtime.words.WORD_RULES`.

    It is `blanks` where punctuation marks are never words of their own. Otherwise it is `marks` where hyphens and
    slashes stand alone more often than between letters, and `edges` where they don't.
    """
    words = [str(word) for row in rows for word in row.text]
    if not any(len(word) == 1 and is_mark(word) for word in words):
        return "blanks"
    joined = sum(len(word) > 2 and any(mark in word[1:-1] for mark in "-/") for word in words)
    return "marks" if sum(word in ("-", "/") for word in words) > joined else "edges"


def make_probes(spec: TaskSpec, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[Probe, ...]:
    """Our own texts, one of them too long, with the ids that training would give them."""
    long = " ".join(f"{number} words" for number in range(max_length))
    texts = [*_TEXTS, long]
    rows = [_probe_row(spec, texts, index) for index in range(len(texts))]
    encoded = map(join_windows, encode_windows(rows, spec, tokenizer, max_length))
    return tuple(Probe(row.text, tuple(one["input_ids"])) for row, one in zip(rows, encoded, strict=True))


def _probe_row(spec: TaskSpec, texts: Sequence[str], index: int) -> Row:
    if spec.kind == "ner":
        words = tuple(texts[index].split())
        return Row(words, (0,) * len(words))
    count = 1 if spec.kind == "embedding" else len(spec.columns)
    sides = tuple(texts[(index + side) % len(texts)] for side in range(count))
    return Row(sides, 0)


def make_cases(graph: Graph, encoded: Sequence[EncodedRow]) -> tuple[Case, ...]:
    """Rows from short to long, with the logits that the graph gives for each row alone on this machine."""
    short = [row for row in encoded if len(row["input_ids"]) <= _MOST_TOKENS] or list(encoded)
    ordered = sorted(short, key=lambda row: len(row["input_ids"]))
    places = sorted({round(place) for place in np.linspace(0, len(ordered) - 1, CASES)})
    inputs = [{name: tuple(ordered[place][name]) for name in graph.inputs} for place in places]
    return tuple(Case(one, logits) for one, logits in zip(inputs, _alone(graph, inputs), strict=True))


def measure_tolerance(cases: Sequence[Case], graph: Path, reference: Path | None, pad_id: int) -> dict[str, float]:
    """How far this file's logits differ where nothing is wrong, and the tolerance that follows from it.

    spread: largest change when the same is computed in another order (two threads, no fusions). quantization: largest
    distance to the float32 file `reference`, 0 without one. On a CPU that rounds differently, logits may change by more
    than the spread on this one; on a CPU that multiplies int8 differently, by about as much as quantization changed
    them, but to the other side of float32. So the tolerance is the largest of 4 spreads, 2 quantization distances and
    1e-4 of the largest logit. beside_others: largest change in a padded batch with the other rows, with which dynamic
    int8 shares its ranges; it is reported but not part of the tolerance, since parity vectors are run alone.
    """
    inputs = [dict(case.inputs) for case in cases]
    two_threads, unfused = Graph(str(graph), graph, 2), Graph(str(graph), graph, 1, optimized=False)
    spread = max(_distance(cases, _alone(other, inputs)) for other in (two_threads, unfused))
    quantization = _distance(cases, _alone(Graph(str(reference), reference, 1), inputs)) if reference else 0.0
    largest = max(float(np.abs(case.logits).max()) for case in cases)
    return {
        "tolerance": max(4 * spread, 2 * quantization, 1e-4 * max(1.0, largest)),
        "spread": spread,
        "quantization": quantization,
        "largest_logit": largest,
        "beside_others": _distance(cases, _together(Graph(str(graph), graph, 1), inputs, pad_id)),
    }


def _distance(cases: Sequence[Case], other: Sequence[NDArray[np.float32]]) -> float:
    return max(float(np.abs(case.logits - logits).max()) for case, logits in zip(cases, other, strict=True))


def _alone(graph: Graph, inputs: Sequence[dict[str, tuple[int, ...]]]) -> list[NDArray[np.float32]]:
    rows = [{name: np.asarray([ids], dtype=np.int64) for name, ids in one.items()} for one in inputs]
    return [np.asarray(graph.logits(row)[0]) for row in rows]


def _together(graph: Graph, inputs: Sequence[dict[str, tuple[int, ...]]], pad_id: int) -> list[NDArray[np.float32]]:
    """Logits of the same rows in one padded batch, without those of padding."""
    lengths = [len(one["input_ids"]) for one in inputs]
    batch = {name: np.zeros((len(inputs), max(lengths)), dtype=np.int64) for name in graph.inputs}
    batch["input_ids"] += pad_id
    for row, one in enumerate(inputs):
        for name, ids in one.items():
            batch[name][row, : len(ids)] = ids
    logits = graph.logits(batch)
    return [one if one.ndim == 1 else one[:length] for one, length in zip(logits, lengths, strict=True)]

"""`bundle.json`, which describes a bundle and is checked before it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aebert.errors import BundleError
from aebert.runtime.container import MANIFEST, OLD_GRAPH, Digest

FORMAT = 3
WITHOUT_WINDOWS = 1  # the first format
KINDS = ("classification", "regression", "ner", "embedding")


@dataclass(frozen=True)
class Case:
    """A parity vector. inputs: one row of each graph input [seq].

    logits: [outputs], NER [seq, outputs], or the embedding [hidden].
    """

    inputs: Mapping[str, tuple[int, ...]]
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class Probe:
    """A text (two for pairs, words for NER), and the ids that the tokenizer made of it in training."""

    text: tuple[str, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """What running a bundle needs to know; `values` is all of `bundle.json`.

    outputs: name of each logit: classes, BIO tags, or `score`. hidden: width of an embedding, which has no names; 0 for
    other kinds. columns: those that held the texts in training, two for
    sentence pairs. inputs: of the graph. graph: name of the part that holds it.
    max_length: tokens that texts were cut to in training; with window, NER texts that are longer are read in windows.
    max_positions: most tokens that the graph can take.
    vocabulary: number of ids of the tokenizer. embeddings: of ids that the graph takes, those of the tokenizer or more;
    None in bundles of older versions. unknown: its token for what it doesn't know. words: how NER text is cut.
    tolerance: the most by which a logit may differ from that of a parity vector.
    """

    name: str
    kind: str
    outputs: tuple[str, ...]
    hidden: int
    columns: tuple[str, ...]
    inputs: tuple[str, ...]
    graph: str
    max_length: int
    max_positions: int
    pad_id: int
    pad_type_id: int
    unknown: str | None
    words: str
    window: bool
    opset: int
    vocabulary: int
    embeddings: int | None
    tolerance: float
    cases: tuple[Case, ...] = field(repr=False)
    probes: tuple[Probe, ...] = field(repr=False)
    parts: Mapping[str, Digest] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)

    @property
    def width(self) -> int:
        """Numbers that the graph gives for a row, or for each of its tokens."""
        return self.hidden or len(self.outputs)

    @property
    def meaning(self) -> str:
        """What these numbers are."""
        return (
            f"an embedding of {self.hidden} numbers"
            if self.hidden
            else f"one logit for each of {', '.join(self.outputs)}"
        )

    @property
    def pair(self) -> bool:
        """Whether a row is two texts."""
        return len(self.columns) == 2


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """The manifest of a bundle.

    Raises: BundleError naming the bundle `path` and what is wrong: no JSON, a newer format, a missing value.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise BundleError(f"bundle {path}: {MANIFEST} must be JSON; it is damaged (copy it again)") from None
    stated = values.get("format") if isinstance(values, dict) else None
    if isinstance(stated, int) and stated > FORMAT:
        raise BundleError(
            f"bundle {path} has format {stated}, this aebert reads up to {FORMAT}: install a newer aebert"
        )
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < WITHOUT_WINDOWS:
        raise BundleError(f"bundle {path}: {MANIFEST} must state the format of a bundle, 1 to {FORMAT}, got {stated!r}")
    try:
        return _checked(_read(values), path)
    except KeyError as error:
        raise BundleError(f"bundle {path}: {MANIFEST} must state {error.args[0]!r}; make the bundle again") from None
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, BundleError):
            raise
        reason = str(error).splitlines()[0]
        raise BundleError(f"bundle {path}: {MANIFEST} has a value of the wrong type ({reason})") from None


def _read(values: Mapping[str, Any]) -> Manifest:
    task, text, graph, parity = (values[key] for key in ("task", "text", "graph", "parity"))
    return Manifest(
        name=str(values["name"]),
        kind=task["kind"],
        outputs=tuple(map(str, task["outputs"])),
        hidden=int(task["hidden"]) if task["kind"] == "embedding" else 0,
        columns=tuple(map(str, task["columns"])),
        inputs=tuple(map(str, graph["inputs"])),
        graph=str(graph["file"]) if values["format"] >= FORMAT else OLD_GRAPH,
        max_length=int(text["max_length"]),
        max_positions=int(text["max_positions"]),
        pad_id=int(text["pad_id"]),
        pad_type_id=int(text["pad_type_id"]),
        unknown=text["unknown"],
        words=text["words"],
        window=values["format"] > WITHOUT_WINDOWS and text.get("window", False),
        opset=int(graph["opset"]),
        vocabulary=int(text["vocabulary"]),
        embeddings=int(text["embeddings"]) if "embeddings" in text else None,
        tolerance=float(parity["tolerance"]),
        cases=tuple(_case(case) for case in parity["cases"]),
        probes=tuple(Probe(tuple(probe["text"]), tuple(probe["ids"])) for probe in text["probes"]),
        parts={name: Digest(int(part["bytes"]), str(part["sha256"])) for name, part in values["parts"].items()},
        values=values,
    )


def _case(case: Mapping[str, Any]) -> Case:
    inputs = {name: tuple(map(int, ids)) for name, ids in case["inputs"].items()}
    return Case(inputs, np.asarray(case["logits"], dtype=np.float32))


def _checked(manifest: Manifest, path: Path) -> Manifest:
    rules = {
        f"task.kind must be one of {', '.join(KINDS)}, got {manifest.kind!r}": manifest.kind in KINDS,
        "task.outputs must name different logits": manifest.kind == "embedding"
        or 0 < len(set(manifest.outputs)) == len(manifest.outputs),
        "task.hidden must be above 0 and task.outputs empty": manifest.kind != "embedding"
        or (manifest.hidden > 0 and not manifest.outputs and len(manifest.columns) == 1),
        "graph.file must be one of the parts": manifest.graph in manifest.parts,
        "graph.inputs must have input_ids": "input_ids" in manifest.inputs,
        "text.max_length must be in 8..text.max_positions": 8 <= manifest.max_length <= manifest.max_positions,
        "parity.tolerance must be above 0": 0 < manifest.tolerance < float("inf"),
        "parity.cases must not be empty": bool(manifest.cases),
        "text.embeddings must be at least text.vocabulary": manifest.vocabulary <= (manifest.embeddings or math.inf),
    }
    for rule, met in rules.items():
        if not met:
            raise BundleError(f"bundle {path}: {MANIFEST}: {rule}")
    return manifest

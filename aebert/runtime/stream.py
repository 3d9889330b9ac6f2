"""Rows in, predictions out: what `aebert predict` and `python -m aebert.runtime` do."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aebert.errors import ConfigError
from aebert.runtime.decoding import UTF_8
from aebert.runtime.inputs import Input, is_table, open_inputs
from aebert.runtime.manifest import Manifest
from aebert.runtime.model import BATCH, Model
from aebert.runtime.predictions import EmbeddingPrediction, Prediction

FORMATS = ("json", "tsv", "npy")
_AHEAD = 16  # batches that are read ahead, so that rows of similar length meet
_SHOWN = 5  # numbers of rows in a warning


@dataclass(frozen=True)
class PredictOptions:
    """What to predict with and how; see `Model`.

    input: a file, standard input when None; text: columns of a table; separator, encoding: see `open_inputs`.
    """

    bundle: Path
    input: Path | None = None
    text: Sequence[str] = ()
    format: str = "json"
    batch: int = BATCH
    threads: int = 1
    max_length: int | None = None
    words: str | None = None
    separator: str | None = None
    encoding: str = UTF_8


@dataclass
class _Warning:
    """Rows that a user should know about. noun: what they are called."""

    noun: str
    what: str
    total: int = 0
    first: list[int] = field(default_factory=list)

    def note(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.total += 1
            if len(self.first) < _SHOWN:
                self.first.append(number)

    def show(self) -> None:
        if self.total:
            shown = ", ".join(map(str, self.first)) + (", …" if self.total > _SHOWN else "")
            rows = f"{self.total} {self.noun}{'s were' if self.total > 1 else ' was'}"
            print(f"aebert: warning: {rows} {self.what}: {shown}", file=sys.stderr)


def predict_rows(options: PredictOptions) -> None:
    """Write one prediction per row of the input, in its order, to standard output as UTF-8.

    json: an object per row, `null` for an empty one. tsv: cells of `Prediction.cells`, an empty line for an empty row;
    NER has a line per entity that starts with the number of its row. npy: of embeddings, one array [rows, hidden] of
    float32 in NumPy's format, written when all rows are read; an empty row is NaN. With a batch of 1 every row is
    answered before the next is read.

    Raises: ConfigError, BundleError; DataError naming the line that can't be read.
    """
    if options.format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, got {options.format!r}")
    if options.batch < 1:
        raise ConfigError(f"batch must be at least 1, got {options.batch}")
    model = Model.load(options.bundle, options.threads, max_length=options.max_length, words=options.words)
    _check_format(options.format, model.manifest)
    vectors: list[NDArray[np.float32]] = []
    noun = "row" if is_table(options.input) else "line"
    cut = _Warning(noun, "longer than the length limit and cut")
    empty = _Warning(noun, "empty and without a prediction")
    opened = open_inputs(
        options.input, model.manifest, options.text, separator=options.separator, encoding=options.encoding
    )
    with opened as rows, _until_closed():
        ahead = options.batch * (_AHEAD if options.batch > 1 else 1)
        while chunk := list(islice(rows, ahead)):
            found = _predict(model, chunk, options.batch)
            for row in chunk:
                if options.format == "npy":
                    vectors.append(_vector(found.get(row.number), model.manifest))
                else:
                    _write(row, found.get(row.number), options.format, model.manifest.kind)
            sys.stdout.buffer.flush()
            cut.note(number for number, prediction in found.items() if prediction.truncated)
            empty.note(row.number for row in chunk if not row.text)
        if options.format == "npy":
            sys.stdout.buffer.write(_npy(vectors, model.manifest.hidden))
    cut.show()
    empty.show()


def _check_format(format: str, manifest: Manifest) -> None:
    if format != "npy":
        return
    if manifest.kind != "embedding":
        raise ConfigError(f"format npy is for embeddings, bundle {manifest.name} is of kind {manifest.kind}; use json")
    if sys.stdout.isatty():
        raise ConfigError("format npy is binary and must go to a file: add > embeddings.npy, or use json")


def _vector(prediction: Prediction | None, manifest: Manifest) -> NDArray[np.float32]:
    """The embedding of a row [hidden]; NaN for an empty row."""
    if isinstance(prediction, EmbeddingPrediction):
        return prediction.vector
    return np.full(manifest.hidden, np.nan, dtype=np.float32)


def _npy(vectors: Sequence[NDArray[np.float32]], hidden: int) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(vectors, dtype=np.float32).reshape(len(vectors), hidden))
    return content.getvalue()


def _predict(model: Model, chunk: list[Input], batch: int) -> dict[int, Prediction]:
    full = [row for row in chunk if row.text]
    predictions = model.predict([row.text for row in full], batch)
    return {row.number: prediction for row, prediction in zip(full, predictions)}


def _write(row: Input, prediction: Prediction | None, format: str, kind: str) -> None:
    if format == "json":
        values = prediction.to_dict() if prediction else None
        text = json.dumps(values, ensure_ascii=False) + "\n"
    elif kind == "ner":
        found = prediction.cells() if prediction else []
        text = "".join("\t".join([str(row.number), *cells]) + "\n" for cells in found)
    else:
        text = "\t".join(prediction.cells()[0] if prediction else [""]) + "\n"
    sys.stdout.buffer.write(text.encode())


@contextmanager
def _until_closed() -> Iterator[None]:
    """Stop in peace when whoever reads the predictions has seen enough (`| head`)."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes standard output once more when it ends, which must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

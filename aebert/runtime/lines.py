"""Lines in, predictions out: what `aebert predict` and `python -m aebert.runtime` do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from aebert.errors import ConfigError, DataError
from aebert.runtime.encoding import Text
from aebert.runtime.model import BATCH, Model
from aebert.runtime.predictions import Prediction

FORMATS = ("json", "tsv")
MOST_BYTES = 2**24  # of a line: one without an end must not fill the memory
_AHEAD = 16  # batches that are read ahead, so that rows of similar length meet


@dataclass(frozen=True)
class PredictOptions:
    """What to predict with and how; see `Model`. input: a file, standard input when None."""

    bundle: Path
    input: Path | None = None
    format: str = "json"
    batch: int = BATCH
    threads: int = 1
    max_length: int | None = None
    words: str | None = None


@dataclass(frozen=True)
class _Line:
    number: int
    text: Text  # empty: nothing to predict


def predict_lines(options: PredictOptions) -> None:
    """Write one prediction per line of the input, in its order, to standard output as UTF-8.

    json: an object per line, `null` for an empty one. tsv: cells of `Prediction.cells`, an empty line for an empty one;
    NER has a row per entity that starts with the number of its line. Of sentence pairs, a tab is between the two. With
    a batch of 1 every line is answered before the next is read.

    Raises: ConfigError, BundleError; DataError naming the line that is not UTF-8, too long, or no pair.
    """
    if options.format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, got {options.format!r}")
    if options.batch < 1:
        raise ConfigError(f"batch must be at least 1, got {options.batch}")
    model = Model.load(options.bundle, options.threads, max_length=options.max_length, words=options.words)
    cut: list[int] = []
    empty: list[int] = []
    with _opened(options.input) as (file, source), _until_closed():
        ahead = options.batch * (_AHEAD if options.batch > 1 else 1)
        lines = _lines(file, source, model)
        while chunk := list(islice(lines, ahead)):
            found = _predict(model, chunk, options.batch)
            for line in chunk:
                _write(line, found.get(line.number), options.format, model.manifest.kind)
            sys.stdout.buffer.flush()
            cut += [number for number, prediction in found.items() if prediction.truncated]
            empty += [line.number for line in chunk if not line.text]
    _warn(cut, "longer than the length limit and cut")
    _warn(empty, "empty and without a prediction")


def _predict(model: Model, chunk: list[_Line], batch: int) -> dict[int, Prediction]:
    full = [line for line in chunk if line.text]
    predictions = model.predict([line.text for line in full], batch)
    return {line.number: prediction for line, prediction in zip(full, predictions, strict=True)}


@contextmanager
def _opened(path: Path | None) -> Iterator[tuple[BinaryIO, str]]:
    if path is None:
        yield sys.stdin.buffer, "standard input"
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"input {path} can't be read: {error.strerror}") from None
    with file:
        yield file, str(path)


def _lines(file: BinaryIO, source: str, model: Model) -> Iterator[_Line]:
    number = 0
    while raw := _next_line(file, f"{source}:{number + 1}"):
        number += 1
        yield _Line(number, _text(raw, f"{source}:{number}", number, model))


def _next_line(file: BinaryIO, place: str) -> bytes:
    try:
        raw = file.readline(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{place} can't be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise DataError(f"{place} must be a line of at most {MOST_BYTES} bytes; split it")
    return raw


def _text(raw: bytes, place: str, number: int, model: Model) -> Text:
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{place} must be UTF-8 text, byte {error.start + 1} of the line is not") from None
    if not text.strip():
        return ""
    sides = text.split("\t")
    if model.manifest.pair and len(sides) != 2:
        raise DataError(f"{place} must be two texts with a tab between them, got {len(sides) - 1} tabs")
    return tuple(sides) if model.manifest.pair else text


def _write(line: _Line, prediction: Prediction | None, format: str, kind: str) -> None:
    if format == "json":
        values = prediction.to_dict() if prediction else None
        text = json.dumps(values, ensure_ascii=False) + "\n"
    elif kind == "ner":
        rows = prediction.cells() if prediction else []
        text = "".join("\t".join([str(line.number), *cells]) + "\n" for cells in rows)
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


def _warn(numbers: list[int], what: str) -> None:
    if numbers:
        shown = ", ".join(map(str, numbers[:5])) + (", …" if len(numbers) > 5 else "")
        count = f"{len(numbers)} line{'s were' if len(numbers) > 1 else ' was'}"
        print(f"aebert: warning: {count} {what}: {shown}", file=sys.stderr)

"""A bundle, loaded and ready to predict."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aebert.errors import BundleError, ConfigError
from aebert.runtime.container import MANIFEST, TOKENIZER, check_digests, open_container
from aebert.runtime.encoding import Encoded, Encoder, Text, check_size, parse_tokenizer
from aebert.runtime.manifest import Manifest, parse_manifest
from aebert.runtime.predictions import Prediction, decode
from aebert.runtime.session import Graph
from aebert.runtime.words import WORD_RULES

BATCH = 32


class Model:
    """A bundle that predicts. Make it with `load`; threads of one process may share it."""

    def __init__(self, manifest: Manifest, encoder: Encoder, graph: Graph) -> None:
        self.manifest = manifest
        self._encoder, self._graph = encoder, graph

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        threads: int = 1,
        *,
        max_length: int | None = None,
        words: str | None = None,
        check: bool = True,
    ) -> Model:
        """Load a bundle, a folder or a zip file.

        threads: how many ONNX Runtime computes with. max_length: most tokens of a row, special ones included; as in
        training when None. words: how NER text is cut into words (`blanks`, `edges`, `marks`); as the training rows
        were when None. check: whether to compare the SHA-256 of the parts, which reads them once more.

        Raises: BundleError for a bundle that is missing, damaged or can't run here; ConfigError for other arguments.
        """
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        container = open_container(Path(path))
        manifest = parse_manifest(container.read(MANIFEST), container.path)
        limit = _length(manifest, max_length)
        if words is not None and words not in WORD_RULES:
            raise ConfigError(f"words must be one of {', '.join(WORD_RULES)}, got {words!r}")
        if check:
            check_digests(container)
        tokenizer = parse_tokenizer(container.read(TOKENIZER), container.path)
        try:
            check_size(tokenizer, manifest)
        except BundleError as error:
            raise BundleError(f"bundle {path}: {error}") from None
        graph = Graph(container.graph(manifest.graph), container.path, threads)
        if set(graph.inputs) != set(manifest.inputs):
            raise BundleError(
                f"bundle {path}: {manifest.graph} must take {', '.join(manifest.inputs)}, got {graph.inputs}"
            )
        return cls(manifest, Encoder(tokenizer, manifest, limit, words or manifest.words), graph)

    def predict(self, texts: Sequence[Text], batch: int = BATCH) -> list[Prediction]:
        """Predictions in the order of the texts, computed in batches of rows of similar length.

        texts: strings; tuples of two strings for sentence pairs; strings or lists of words for NER. Offsets of lists
        count in the words joined by blanks. batch: most rows at a time. Dynamic int8 shares one range over a batch, so
        that a row's numbers depend a little on its neighbours; `batch=1` avoids that.

        Raises: DataError naming the index of a text that can't be encoded; ConfigError for a batch below 1.
        """
        if batch < 1:
            raise ConfigError(f"batch must be at least 1, got {batch}")
        rows = self._encoder.encode(texts)
        parts = [row.windows() for row in rows]
        logits = iter(self._logits([window for windows in parts for window in windows], batch))
        joined = [np.concatenate([next(logits) for _ in windows]) for windows in parts]
        return [decode(self.manifest, row, one) for row, one in zip(rows, joined)]

    def _logits(self, rows: Sequence[Encoded], batch: int) -> list[NDArray[np.float32]]:
        """Logits [outputs] of each row, or NER [seq, outputs] without those of padding."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        found: dict[int, NDArray[np.float32]] = {}
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            logits = self._graph.logits(self._encoder.pad([rows[place] for place in places]))
            self._check_width(logits.shape[-1])
            found |= {place: one[: len(rows[place].ids)] if one.ndim > 1 else one for place, one in zip(places, logits)}
        return [found[place] for place in range(len(rows))]

    def _check_width(self, width: int) -> None:
        if width != self.manifest.width:
            raise BundleError(
                f"bundle {self._graph.path}: {self.manifest.graph} must give {self.manifest.meaning}, got {width}"
            )


def _length(manifest: Manifest, given: int | None) -> int:
    least = 8  # room for special tokens and a part of each text
    if given is not None and not least <= given <= manifest.max_positions:
        raise ConfigError(f"max-length must be in {least}..{manifest.max_positions} for this bundle, got {given}")
    return given or manifest.max_length

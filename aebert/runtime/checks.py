"""Checks that a bundle is what was made, and that it computes here what it computed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from aebert.errors import AebertError, BundleError
from aebert.runtime.container import MANIFEST, TOKENIZER, check_digests, open_container
from aebert.runtime.encoding import Encoder, check_size, parse_tokenizer
from aebert.runtime.manifest import FORMAT, Case, Manifest, parse_manifest
from aebert.runtime.session import Graph, read_opsets


@dataclass(frozen=True)
class Check:
    """A check that a bundle passed, and what was found."""

    name: str
    detail: str


def verify(path: Path, threads: int = 1) -> Iterator[Check]:
    """Yield each check that the bundle passes, in order: format, parts, container, tokenizer, graph, labels, parity.

    Raises: BundleError naming the first check that fails.
    """
    opened = _Opened(path, threads)
    for name, check in CHECKS.items():
        try:
            yield Check(name, check(opened))
        except AebertError as error:
            reason = str(error).removeprefix(f"bundle {path}: ").removeprefix(f"bundle {path} ")
            raise BundleError(f"bundle {path} fails the check of its {name}: {reason}") from None


class _Opened:
    def __init__(self, path: Path, threads: int) -> None:
        self.container, self.threads = open_container(path), threads

    @cached_property
    def manifest(self) -> Manifest:
        return parse_manifest(self.container.read(MANIFEST), self.container.path)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return parse_tokenizer(self.container.read(TOKENIZER), self.container.path)

    @cached_property
    def graph(self) -> Graph:
        return Graph(self.container.graph(self.manifest.graph), self.container.path, self.threads)

    @cached_property
    def logits(self) -> list[NDArray[np.float32]]:
        """Logits of each parity vector, computed alone in its batch."""
        return [run_case(self.graph, case) for case in self.manifest.cases]


def run_case(graph: Graph, case: Case) -> NDArray[np.float32]:
    """Logits of one parity vector, as the graph computes them here."""
    missing = [name for name in graph.inputs if name not in case.inputs]
    if missing:
        raise BundleError(f"parity vectors must have every input of the graph; {missing[0]} is missing")
    logits: NDArray[np.float32] = graph.logits(
        {name: np.asarray([ids], dtype=np.int64) for name, ids in case.inputs.items()}
    )[0]
    return logits


def _format(opened: _Opened) -> str:
    return f"{opened.manifest.values['format']} (this aebert reads up to {FORMAT}), {opened.manifest.name}"


def _parts(opened: _Opened) -> str:
    found = check_digests(opened.container)
    for name in sorted({*opened.manifest.parts, *found} - {MANIFEST}):
        if opened.manifest.parts.get(name) != found.get(name):
            raise BundleError(f"{name} must be the one that {MANIFEST} was made for; their SHA-256 differ")
    return ", ".join(f"{name} {digest.size / 1e6:.2f} MB" for name, digest in found.items())


def _container(opened: _Opened) -> str:
    opened.container.check_whole()
    return "folder" if opened.container.path.is_dir() else "zip file"


def _tokenizer(opened: _Opened) -> str:
    manifest, tokenizer = opened.manifest, opened.tokenizer
    check_size(tokenizer, manifest)
    encoder = Encoder(tokenizer, manifest, manifest.max_length, "blanks")
    for probe in manifest.probes:
        text = probe.text if manifest.kind == "ner" or manifest.pair else probe.text[0]
        (row,) = encoder.encode([text])
        if row.ids != probe.ids:
            raise BundleError(f"{TOKENIZER} must encode {text!r} as in training, got the ids {list(row.ids)[:8]}…")
    return f"{manifest.vocabulary} ids, {len(manifest.probes)} texts encoded as in training"


def _graph(opened: _Opened) -> str:
    import onnxruntime  # here, since to look at a bundle takes none

    manifest, version = opened.manifest, onnxruntime.__version__
    try:
        stated = read_opsets(opened.container.read(manifest.graph)).get("ai.onnx")
    except ValueError as error:
        raise BundleError(f"{manifest.graph} must be an ONNX file: {error}") from None
    if stated != manifest.opset:
        raise BundleError(f"{manifest.graph} must have opset {manifest.opset} as {MANIFEST} states, it has {stated}")
    if set(opened.graph.inputs) != set(manifest.inputs):
        takes = ", ".join(opened.graph.inputs)
        raise BundleError(f"{manifest.graph} must take {', '.join(manifest.inputs)}, it takes {takes}")
    _check_vocabulary(opened)
    return f"opset {stated} runs in onnxruntime {version}, takes {', '.join(manifest.inputs)} and all ids"


def _check_vocabulary(opened: _Opened) -> None:
    largest, stated = max(opened.tokenizer.get_vocab().values()), opened.manifest.embeddings
    if not _takes(opened.graph, largest):
        raise BundleError(f"{opened.manifest.graph} must take all ids of {TOKENIZER}, it can't take {largest}")
    if stated is not None and (_takes(opened.graph, stated) or not _takes(opened.graph, stated - 1)):
        raise BundleError(
            f"{opened.manifest.graph} must take the {stated} ids that {MANIFEST} states, it takes others; its "
            f"embeddings are not those of {TOKENIZER}"
        )


def _takes(graph: Graph, index: int) -> bool:
    """Whether the graph has an embedding of this id."""
    one = np.ones((1, 1), dtype=np.int64)
    try:
        graph.logits({"input_ids": one * index, "attention_mask": one, "token_type_ids": one * 0})
    except BundleError:
        return False
    return True


def _labels(opened: _Opened) -> str:
    manifest, width = opened.manifest, opened.logits[0].shape[-1]
    if width != manifest.width:
        raise BundleError(f"{manifest.graph} must give {manifest.meaning}, it gives {width}")
    return f"{manifest.kind}: {', '.join(manifest.outputs) or manifest.meaning}"


def _parity(opened: _Opened) -> str:
    manifest = opened.manifest
    differences = [_difference(case, logits) for case, logits in zip(manifest.cases, opened.logits)]
    worst, allowed = max(differences), manifest.tolerance
    if not worst <= allowed:  # also when it is not a number
        raise BundleError(
            f"logits must be within {allowed:.2g} of those computed where the bundle was made, they differ by "
            f"{worst:.2g} ({_other_machine(manifest)})"
        )
    return f"logits of {len(differences)} rows differ by at most {worst:.2g}, allowed {allowed:.2g}"


def _difference(case: Case, logits: NDArray[np.float32]) -> float:
    if logits.shape != case.logits.shape:
        raise BundleError(f"logits must have the shape {list(case.logits.shape)}, got {list(logits.shape)}")
    return float(np.abs(logits - case.logits).max())


def _other_machine(manifest: Manifest) -> str:
    machine = manifest.values.get("machine") or {}
    made = f"made on {machine.get('cpu', 'an unknown CPU')}"
    if manifest.values["graph"].get("quantization", "float32") == "float32":
        return f"{made}; don't use it here"
    return f"{made}; quantized products saturate on some CPUs only: score the bundle here, or ship float32"


CHECKS: dict[str, Callable[[_Opened], str]] = {
    "format": _format,
    "parts": _parts,
    "container": _container,
    "tokenizer": _tokenizer,
    "graph": _graph,
    "labels": _labels,
    "parity": _parity,
}

"""Writes bundles: a folder or zip file with all that `aebert.runtime` needs, and with what is known about the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from aebert.deployment.hub_layout import hub_files, part_order
from aebert.deployment.samples import make_cases, make_probes, measure_tolerance, word_rule
from aebert.errors import BundleError, ExportError, OutputError
from aebert.files import replacing
from aebert.models.families import family_of
from aebert.runtime.checks import verify
from aebert.runtime.container import (
    GRAPH,
    MANIFEST,
    QUANTIZED,
    SUMS,
    TOKENIZER,
    Digest,
    check_digests,
    open_container,
    part_names,
    sums,
    write_zip,
)
from aebert.runtime.encoding import Encoder
from aebert.runtime.manifest import FORMAT, parse_manifest
from aebert.runtime.session import Graph, read_opsets
from aebert.tasks.encoding import encode_windows, join_windows
from aebert.tasks.task import Row, TaskSpec


@dataclass(frozen=True)
class BundleSource:
    """What a bundle is made of.

    graph: ONNX file to ship; reference: the float32 file that it was quantized from, None if it was not quantized.
    quantization: how it was quantized, `float32` if it was not. config: of the model. max_length: tokens that rows are
    cut to. samples: rows, of which a few become parity vectors. facts: further keys of `bundle.json`, plain values.
    """

    name: str
    graph: Path
    reference: Path | None
    quantization: str
    tokenizer: PreTrainedTokenizerBase
    config: PretrainedConfig
    spec: TaskSpec
    max_length: int
    samples: Sequence[Row]
    facts: Mapping[str, Any] = field(default_factory=dict)


def write_bundle(source: BundleSource, target: Path) -> Path:
    """Write a bundle to `target`, a zip file if it ends in `.zip`, else a folder; whole and verified, or not at all.

    A bundle that is there already is replaced. The only thing that the bundle holds of the rows is the token ids of the
    parity vectors.

    Raises: ExportError when the runtime would not encode rows as training did, the graph does not fit, or the bundle
    fails its own checks; OutputError when the disk refuses or `target` is something else.
    """
    contents = _contents(source)

    def check(written: Path) -> None:
        _check_rows(source, contents)
        for _ in verify(written):
            pass

    try:
        return _write(contents, target, check)
    except BundleError as error:
        reason = str(error).partition("fails the check of its ")[2] or str(error)
        raise ExportError(f"bundle {source.name} can't be made: {reason}") from None


def pack(bundle: Path, target: Path) -> Path:
    """Write a bundle again, as a zip file if `target` ends in `.zip`, else as a folder. Its digests stay the same.

    Raises: BundleError when the bundle is damaged; OutputError as in `write_bundle`.
    """
    container = open_container(bundle)
    check_digests(container)
    names = (*part_names(container), SUMS)
    return _write({name: container.read(name) for name in names}, target, lambda written: None)


def _write(contents: Mapping[str, bytes], target: Path, check: Callable[[Path], None]) -> Path:
    _check_replaceable(target)
    with replacing(target) as written:
        if target.suffix == ".zip":
            with written.open("wb") as file:
                write_zip(contents, file)
        else:
            written.mkdir()
            for name, content in contents.items():
                (written / name).parent.mkdir(exist_ok=True)
                (written / name).write_bytes(content)
        check(written)
        if target.is_dir():  # a folder that is not empty can't be replaced in one step
            target.rename(written.parent / "before")
    return target


def _check_replaceable(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise OutputError(f"{target} must be a new folder or a bundle to replace; it holds other files")
    if target.exists() and target.is_dir() == (target.suffix == ".zip"):
        raise OutputError(f"{target} must be a zip file if it ends in .zip, else a folder; choose another name")


def _contents(source: BundleSource) -> dict[str, bytes]:
    """The files of a bundle by name."""
    if not source.tokenizer.is_fast:
        name = type(source.tokenizer).__name__
        raise ExportError(f"a bundle needs a fast tokenizer (one with a tokenizer.json), got {name}")
    graphs = {_graph_name(source): source.graph.read_bytes()}
    if source.reference is not None:
        graphs[GRAPH] = source.reference.read_bytes()
    values = _values(source, graphs[_graph_name(source)])
    text = values["text"]
    hub = hub_files(source.config, source.spec, source.tokenizer, text["max_length"], values)
    parts = {**graphs, TOKENIZER: _tokenizer_json(source.tokenizer), **hub}
    parts = {name: parts[name] for name in part_order(list(parts))}
    digests = {name: Digest.of(content) for name, content in parts.items()}
    values |= {"parts": {name: digest.to_dict() for name, digest in digests.items()}}
    manifest = (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()
    return {MANIFEST: manifest, **parts, SUMS: sums({MANIFEST: Digest.of(manifest), **digests})}


def _graph_name(source: BundleSource) -> str:
    """Where the shipped graph is: beside the float32 one, if it was quantized from that."""
    return GRAPH if source.reference is None else QUANTIZED


def _tokenizer_json(tokenizer: PreTrainedTokenizerBase) -> bytes:
    """The tokenizer without the padding and truncation that its last user has set."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    return bytes(copy.to_str().encode())


def _values(source: BundleSource, content: bytes) -> dict[str, Any]:
    spec, graph = source.spec, Graph(str(source.graph), source.graph, 1)
    text = _text_values(source)
    parts = encode_windows(source.samples, spec, source.tokenizer, text["max_length"])
    cases = make_cases(graph, [window for row in parts for window in row])
    tolerance = measure_tolerance(cases, source.graph, source.reference, text["pad_id"])
    return {
        "format": FORMAT,
        "name": source.name,
        "task": {
            "name": spec.name,
            "kind": spec.kind,
            "labels": list(spec.labels),
            "outputs": list(spec.output_names),
            "columns": list(spec.columns[:1] if spec.kind == "embedding" else spec.columns),
            **({"hidden": int(source.config.hidden_size)} if spec.kind == "embedding" else {}),
            "metric": spec.metric,
            "headline": spec.headline,
        },
        "text": text,
        "graph": {
            "file": _graph_name(source),
            "inputs": list(graph.inputs),
            "opset": read_opsets(content)["ai.onnx"],
            "quantization": source.quantization,
        },
        "parity": {
            **tolerance,
            "cases": [{"inputs": dict(case.inputs), "logits": case.logits.tolist()} for case in cases],
        },
        **source.facts,
    }


def _text_values(source: BundleSource) -> dict[str, Any]:
    spec, tokenizer = source.spec, source.tokenizer
    positions = family_of(source.config).most_tokens(source.config)
    max_length = min(source.max_length, positions)
    return {
        "max_length": max_length,
        "max_positions": positions,
        "vocabulary": len(tokenizer),
        "embeddings": source.config.vocab_size,
        "pad_id": tokenizer.pad_token_id,
        "pad_type_id": tokenizer.pad_token_type_id,
        "unknown": tokenizer.unk_token,
        "words": word_rule(source.samples) if spec.kind == "ner" else "blanks",
        **({"window": True} if spec.window else {}),
        "probes": [
            {"text": list(probe.text), "ids": list(probe.ids)} for probe in make_probes(spec, tokenizer, max_length)
        ],
    }


def _check_rows(source: BundleSource, contents: Mapping[str, bytes]) -> None:
    """Raise unless the runtime gives all sample rows the ids that training gave them."""
    manifest = parse_manifest(contents[MANIFEST], source.graph)
    encoder = Encoder(Tokenizer.from_buffer(contents[TOKENIZER]), manifest, manifest.max_length, "blanks")
    texts = [row.text if manifest.pair or manifest.kind == "ner" else row.text[0] for row in source.samples]
    there = map(join_windows, encode_windows(source.samples, source.spec, source.tokenizer, manifest.max_length))
    for row, mine, expected in zip(source.samples, encoder.encode(texts), there, strict=True):
        if list(mine.ids) != list(expected["input_ids"]):
            raise ExportError(f"bundle {source.name} can't be made: the runtime reads {row.source} not as training did")

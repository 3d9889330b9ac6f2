"""The model card of a bundle: what it is, how good, how fast, and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PIPELINES = {
    "classification": "text-classification",
    "regression": "text-classification",
    "ner": "token-classification",
    "embedding": "sentence-similarity",
}


def model_card(values: Mapping[str, Any]) -> str:
    """README.md of a bundle, from what its manifest says; facts that are not known are left out."""
    return "\n".join([*_front_matter(values), "", *_body(values)]) + "\n"


def _front_matter(values: Mapping[str, Any]) -> Iterator[str]:
    """The part that the hub reads."""
    kind = values["task"]["kind"]
    yield "---"
    yield f"pipeline_tag: {_PIPELINES[kind]}"
    yield f"library_name: {'sentence-transformers' if kind == 'embedding' else 'transformers'}"
    if license := values.get("license"):
        yield f"license: {license}"
    yield "tags:"
    yield from (f"- {tag}" for tag in ("onnx", "aebert", "pruned", *["sentence-transformers"] * (kind == "embedding")))
    yield "---"


def _body(values: Mapping[str, Any]) -> Iterator[str]:
    task, text, graph = (values[key] for key in ("task", "text", "graph"))
    kept = values.get("architecture")
    yield f"# {values['name']}"
    yield ""
    base = f" of `{kept['model']}`" if kept else ""
    yield f"A model{base} for `{task['name']}` ({_what(task)}), made by `aebert` for ONNX Runtime. Texts are cut at"
    yield f"{text['max_length']} tokens. What `aebert.runtime` runs is `{graph['file']}` ({graph['quantization']})."
    if kept:
        yield from _architecture(kept)
    if scores := values.get("scores"):
        yield from _scores(task, scores)
    if profile := values.get("profile"):
        yield from _speed(profile, values["machine"])
    if provenance := values.get("provenance"):
        yield from _provenance(provenance, values)


def _what(task: Mapping[str, Any]) -> str:
    if task["kind"] == "embedding":
        return f"sentence embeddings of {task['hidden']} numbers"
    return f"{task['kind']}{': ' if task['labels'] else ''}{', '.join(task['labels'])}"


def _architecture(kept: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Architecture", "")
    yield f"{kept['family']}, hidden size {kept['hidden']}, head size {kept['head_size']}. Kept of each block:"
    yield from ("", "| block | heads or neurons | of |", "|---|---|---|")
    for unit, name in (("heads", "attention"), ("ffn", "FFN")):
        for index, (mine, full) in enumerate(zip(kept[unit], kept["dense"][unit], strict=False), start=1):
            yield f"| {name} {index} | {mine} | {full} |"
    dropped = len(kept["dense"]["heads"]) - len(kept["heads"])
    if dropped:
        yield ""
        yield f"The last {dropped} layers are dropped."
    if any(kept[unit] != kept["dense"][unit] for unit in ("heads", "ffn")):
        yield ""
        yield "`config.json` can state one number for all layers only; `aebert_heads` and `aebert_ffn` there are exact."


def _scores(task: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Scores", "")
    yield f"Of the shipped file, on {scores['rows']:,} {scores['rows_of']} rows that no choice was made on, × 100:"
    yield from ("", "| metric | score | 95 % interval |", "|---|---|---|")
    for name, value in scores["metrics"].items():
        ends = scores["interval"] if name == task["headline"] else None
        yield f"| {name} | {100 * value:.1f} | {_span(ends)} |"
    if near := scores.get("embeddings"):
        where = f"{near['texts']:,} texts" + (f" of {near['corpus']}" if near["corpus"] else ", the queries themselves")
        if "agreement" not in scores["metrics"] or task["headline"] != "agreement":
            yield f"| agreement with the dense model (mean cosine) | {100 * near['agreement']:.1f} | "\
                f"{_span(near['agreement_interval'])} |"  # fmt: skip
        yield f"| first {near['hits']} hits shared with it, among {where} | {100 * near['overlap']:.1f} | "\
            f"{_span(near['overlap_interval'])} |"  # fmt: skip


def _span(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f}"


def _speed(profile: Mapping[str, Any], machine: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Speed and size", "")
    size = profile["size_bytes"] / 1e6
    yield f"Median {profile['p50_ms']:.3g} ms a request (90 % below {profile['p90_ms']:.3g} ms), {size:.1f} MB."
    yield f"Measured with {profile['threads']} thread(s) and batch {profile['batch_size']} on {machine['cpu']}."


def _provenance(provenance: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## How it was made", "")
    yield f"Study `{provenance['study']}`, seed {provenance['seed']}, dense weights `{provenance['dense_weights']}`,"
    yield f"config digest `{provenance['config']}`. SHA-256 of the rows: "
    yield ", ".join(f"{role} `{digest[:16]}`" for role, digest in provenance["data"].items()) + "."
    if not values.get("license"):
        yield "The license is that of the base model, which does not state one in its folder."

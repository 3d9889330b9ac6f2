"""What races and shared first layers did, or would have done, in a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aebert.errors import StudyError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.run.pipeline import Pipeline
from aebert.search.reading import read_study
from aebert.search.record import TrialRecord


def prefix_sharing(records: Sequence[TrialRecord], shape: ModelShape, length: int) -> dict[str, float]:
    """What keeping activations behind shared first layers would save, if every earlier candidate's were kept.

    A library's block depends on its width alone, so equal widths in the first layers mean equal activations there.
    hit_rate: share of the candidates that share at least the first layer with an earlier one. macs_saved: share of the
    MACs of all of them.
    """
    known: set[tuple[Any, ...]] = set()
    hits, saved, total = 0, 0, 0
    scored = [record for record in records if record.same_as is None]
    for record in scored:
        macs = layer_macs(record.architecture, shape, length)
        prefixes = [_prefix(record.architecture, shape, layers) for layers in range(1, shape.layers + 1)]
        shared = next((place for place, one in enumerate(prefixes) if one not in known), shape.layers)
        known.update(prefixes)
        hits, saved, total = hits + (shared > 0), saved + sum(macs[:shared]), total + sum(macs)
    return {"candidates": len(scored), "hit_rate": hits / len(scored), "macs_saved": saved / total}


def _prefix(architecture: Architecture, shape: ModelShape, layers: int) -> tuple[Any, ...]:
    return architecture.heads[:layers], architecture.ffn[: layers * shape.ffn_per_layer]


def layer_macs(architecture: Architecture, shape: ModelShape, length: int) -> list[int]:
    """MACs per token of each layer's prunable blocks."""
    heads = [
        count * (macs + 2 * shape.head_size * length)
        for count, macs in zip(architecture.heads, shape.head_macs, strict=True)
    ]
    ffn = [count * macs for count, macs in zip(architecture.ffn, shape.ffn_macs, strict=True)]
    each = shape.ffn_per_layer
    return [heads[layer] + sum(ffn[layer * each : (layer + 1) * each]) for layer in range(shape.layers)]


def races(records: Sequence[TrialRecord], rows: int) -> dict[str, float]:
    """How often candidates that could be stopped were, and the share of the search rows that they saw on average."""
    raced = [record for record in records if record.same_as is None and record.origin in ("sampled", "neighbour")]
    seen = [rows if record.stopped_at is None else record.stopped_at for record in raced]
    stopped = sum(record.stopped_at is not None for record in raced)
    return {
        "candidates": len(raced),
        "stopped_share": stopped / max(len(raced), 1),
        "rows_share": float(np.mean(seen)) / rows if seen else 1.0,
    }


def study_facts(pipeline: Pipeline) -> dict[str, Any] | None:
    """Races and shared prefixes in the run's study; None if it has none."""
    if not (pipeline.run.folder / "study.db").is_file():
        return None
    try:
        study = read_study(pipeline.run.storage, pipeline.run.config.name)
    except StudyError as error:
        print(f"no facts of a study: {error}")
        return None
    records, info = study.records, study.info
    if not records:
        return None
    sharing = prefix_sharing(records, pipeline.dense.shape, info.length)
    facts = {"trials": len(records), "sampler": info.sampler, "budgets": list(info.targets)}
    return {**facts, "races": races(records, info.search_rows), "prefixes": sharing}

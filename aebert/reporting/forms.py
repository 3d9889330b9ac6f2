"""The table of the forms that models were tried in: what was fused, and the verdict on each way to quantize."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aebert.deployment.choice import LossInterval, Tried
from aebert.deployment.exported import ExportedForms, KeptGraphs
from aebert.reporting import units
from aebert.reporting.tables import Cell, Column, Table, ranked_columns

_RANKS = {"size (MB)": 1, "select": 2, "loss": 0, "95 %": 1, "median (ms)": 2, "speed-up": 1}


def forms_table(forms: Mapping[str, ExportedForms], metric: str) -> Table:
    """One row per model and way to quantize.

    forms: by model, how it was exported. metric: name of the headline metric.
    """
    rows = tuple(
        _row(name, one.kept.int8_source or "", tried)
        for name, one in forms.items()
        if one.quantization is not None
        for tried in one.quantization.tried
    )
    columns = (
        Column("model", "text", 0),
        Column("form", "text", 0),
        Column("graph", "text", 3),
        *ranked_columns(_RANKS),
    )
    quantized = [one.quantization for one in forms.values() if one.quantization is not None]
    notes = [
        *(["The form whose verdict begins with chosen ships."] if rows else []),
        f"select is {metric} × 100 on the select rows; loss is how many points that is below the float32 file; MB are "
        "10^6 bytes.",
        "95 % is the interval of the loss, from both files' answers to the same rows, – where it is not known. A form "
        "is too lossy where the whole interval is above the limit.",
        "speed-up is the median of how many times as fast the same request is as with the float32 file.",
        *(line for name, one in forms.items() for line in _notes(name, one)),
        *dict.fromkeys(f"Processor: {one.cpu}." for one in quantized),
    ]
    return Table(
        "Quantized forms",
        (*columns, Column("left in float32", "text", 2), Column("verdict", "text", 0)),
        rows,
        "\n".join(notes),
    )


def _row(name: str, graph: str, tried: Tried) -> tuple[Cell, ...]:
    excluded = ", ".join(tried.excluded) or "none"
    return (
        Cell(name, name),
        Cell(tried.variant, tried.variant),
        Cell(graph, graph),
        Cell(units.megabytes(tried.size_bytes), tried.size_bytes),
        Cell(units.points(tried.score), tried.score),
        Cell(f"{tried.loss:.1f}", tried.loss),
        _interval(tried.interval),
        Cell(units.significant(tried.median_ms), tried.median_ms),
        Cell(f"{tried.speedup:.2f}×", tried.speedup),
        Cell(excluded, len(tried.excluded)),
        Cell(tried.verdict, tried.verdict),
    )


def _interval(interval: LossInterval | None) -> Cell:
    return Cell(units.MISSING, None) if interval is None else Cell(str(interval), interval.low)


def _notes(name: str, one: ExportedForms) -> Iterator[str]:
    """What of a model was fused, what was not and why, and which graph was kept."""
    fusion = one.fusion
    if fusion is None:
        yield f"{name}: nothing is fused (deploy.fuse: never)."
        return
    yield f"{name}: {fusion.describe()} are fused; {_kept(one.kept)}."
    yield from (f"{name}: {note}." for note in fusion.notes)


def _kept(kept: KeptGraphs) -> str:
    """Which graph ships in float32 and quantized, and how much faster the fused one is where both were timed."""
    ratios, parts = kept.fused_times_faster, []
    for key, kind, graph in (("float32", "float32", kept.float32), ("int8_source", "quantized", kept.int8_source)):
        if graph is not None:
            timed = f" (the fused one is {ratios[key]:.2f} times as fast as the plain one)" if key in ratios else ""
            parts.append(f"the {graph} graph is kept for {kind}{timed}")
    return ", ".join(parts)

"""The table of the exported files as measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Any

from aebert.reporting import units
from aebert.reporting.report import Report
from aebert.reporting.rows import ProfileRow
from aebert.reporting.tables import Cell, Column, Table, finalist_key, ranked_columns


def profiles_table(report: Report) -> Table:
    """The exported files with their measured size, latency, throughput, memory, speed-up and score."""
    measured = {"size (MB)": 0, "p50 (ms)": 0, "p90 (ms)": 2, "p99 (ms)": 3, "rows/s": 2, "memory (MB)": 1}
    columns = ranked_columns({**measured, "speed-up": 0, "p10–p90": 2, "report": 0})
    return Table(
        f"Profiles of {report.info.name}",
        (Column("model", "text", 0), Column("file", "text", 0), *columns),
        tuple(_profile_row(row) for row in report.profiles),
        "\n".join(_note(report)),
    )


def _note(report: Report) -> Iterator[str]:
    compared = [row for row in report.profiles if row.speedup is not None]
    if compared:
        best = max(compared, key=lambda row: row.speedup or 0.0)
        yield f"{best.name} {best.kind} is the fastest file: {best.speedup:.2f} times as fast as dense float32."
    yield (
        "p50, p90 and p99 are percentiles of the time of one call; memory is the peak of a process with this file "
        "alone; MB are 10^6 bytes."
    )
    yield (
        "speed-up is the median of how many times as fast the same request is as with the dense float32 file, p10–p90 "
        f"the middle 80 %; report is {report.info.metric} × 100 of this very file on the report rows."
    )
    if measured := measured_on(report.machine):
        yield f"Measured on: {measured}."


def measured_on(machine: Mapping[str, Any]) -> str:
    """One line with the facts that decide the figures of a measurement; unknown facts are left out."""
    lengths = machine.get("lengths") or {}
    facts = (
        ("{cpu}", machine),
        ("{cores} cores", machine),
        ("{isa}", {"isa": " ".join(machine.get("isa") or ()) or None}),
        ("{threads} thread(s)", machine),
        ("batch {batch_size}", machine),
        ("{runs} requests per file", machine),
        ("{min}–{max} tokens (median {median:g})", lengths),
        ("onnxruntime {onnxruntime}", machine.get("versions") or {}),
    )
    known = [text.format(**values) for text, values in facts if _known(text, values)]
    if machine.get("all_runs_quiet") is False:
        known.append("other processes were busy in some runs")
    return ", ".join(known)


def _known(text: str, values: Mapping[str, Any]) -> bool:
    names = [name.partition(":")[0] for _, name, _, _ in Formatter().parse(text) if name]
    return all(values.get(name) is not None for name in names)


def _profile_row(row: ProfileRow) -> tuple[Cell, ...]:
    speedup = units.MISSING if row.speedup is None else f"{row.speedup:.2f}×"
    known = row.speedup_low is not None and row.speedup_high is not None
    return (
        Cell(row.name, row.name, finalist_key(row.name)),
        Cell(row.kind, row.kind),
        Cell(units.megabytes(row.size_bytes), row.size_bytes),
        Cell(units.significant(row.p50_ms), row.p50_ms),
        Cell(units.significant(row.p90_ms), row.p90_ms),
        Cell(units.significant(row.p99_ms), row.p99_ms),
        Cell(units.significant(row.throughput_per_s), row.throughput_per_s),
        Cell(units.megabytes(row.peak_memory_bytes), row.peak_memory_bytes),
        Cell(speedup, row.speedup),
        Cell(f"{row.speedup_low:.2f}–{row.speedup_high:.2f}" if known else units.MISSING, row.speedup_low),
        Cell(units.points(row.report_score), row.report_score),
    )

"""A measurement of several models as tables, JSON and CSV."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

from aebert.compare.comparison import Comparison, Condition, Measured
from aebert.errors import ConfigError
from aebert.files import replacing, write_json
from aebert.reporting import units
from aebert.reporting.profiles import measured_on
from aebert.reporting.tables import Cell as Shown
from aebert.reporting.tables import Column, Table, ranked_columns

FORMATS = (".json", ".csv")


def comparison_tables(found: Comparison) -> list[Table]:
    """Two tables: what the files are, and how long a request takes with each."""
    return [_files_table(found), _times_table(found)]


def _files_table(found: Comparison) -> Table:
    """Size, load time and memory of each target."""
    columns = (
        Column("model", "text", 0),
        Column("form", "text"),
        *ranked_columns({"size (MB)": 0, "load (ms)": 1, "memory (MB)": 1, "libraries (MB)": 2}),
    )
    smallest = min(found.targets, key=lambda target: target.size_bytes)
    largest = f"{max(found.settings.batches)} × {max(found.settings.lengths)}"
    return Table(
        "Files",
        columns,
        tuple(_file_row(one) for one in found.targets),
        f"{smallest.name} is the smallest, with {units.megabytes(smallest.size_bytes)} MB of 10^6 bytes.\n"
        f"memory is the peak of a process that only loads the model and answers {largest} tokens; libraries is what "
        "that process takes before; load is from the page cache.",
    )


def _file_row(one: Measured) -> tuple[Shown, ...]:
    return (
        Shown(one.name, one.name),
        Shown(one.form, one.form),
        Shown(units.megabytes(one.size_bytes), one.size_bytes),
        Shown(units.significant(one.load_ms), one.load_ms),
        Shown(units.megabytes(one.peak_memory_bytes), one.peak_memory_bytes),
        Shown(units.megabytes(one.baseline_memory_bytes), one.baseline_memory_bytes),
    )


def _times_table(found: Comparison) -> Table:
    """One row per target and shape of request; the targets of one shape stand together."""
    first, energy = found.targets[0].name, any(cell.joules is not None for cell in found.cells)
    shapes, model = ranked_columns({"threads": 2, "batch": 2, "length": 0}), Column("model", "text", 0)
    times = {"p50 (ms)": 0, "p90 (ms)": 2, "p99 (ms)": 3, "mean ± std": 2, "rows/s": 2}
    times |= {**({"mJ/row": 1} if energy else {}), "times as fast": 0, "95 %": 1}
    return Table(
        "Times of one request",
        (*shapes, model, *ranked_columns(times)),
        tuple(_times_row(cell, energy=energy) for cell in found.cells),
        f"A model is faster than {first} where its whole interval is above 1.\n"
        f"times as fast compares with {first}: the median over {found.settings.runs} requests that all models answered "
        "in turn; 95 % is the interval of that median.\n"
        f"Requests are random token ids without padding. Measured on: {measured_on(found.machine)}.\n"
        + "\n".join([_conditions(found), *(f"warning: {line}" for line in found.warnings)]),
    )


def _times_row(cell: Condition, *, energy: bool) -> tuple[Shown, ...]:
    millijoules = None if cell.joules is None else 1000 * cell.joules / cell.batch_size
    ratio = cell.ratio
    known = ratio.low is not None and ratio.high is not None
    return (
        *(Shown(str(value), value) for value in (cell.threads, cell.batch_size, cell.length)),
        Shown(cell.target, cell.target),
        *(Shown(units.significant(value), value) for value in (cell.p50_ms, cell.p90_ms, cell.p99_ms)),
        Shown(f"{units.significant(cell.mean_ms)} ± {units.significant(cell.std_ms, 2)}", cell.mean_ms),
        Shown(units.significant(cell.throughput_per_s), cell.throughput_per_s),
        *([Shown(units.significant(millijoules), millijoules)] if energy else []),
        Shown(f"{ratio.median:.2f}×", ratio.median),
        Shown(f"{ratio.low:.2f}–{ratio.high:.2f}" if known else units.MISSING, ratio.low),
    )


def _conditions(found: Comparison) -> str:
    """`clock 2400–2400 MHz, temperature not exposed, energy: not exposed`."""
    names = {"frequency_mhz": ("clock", " MHz"), "temperature_c": ("temperature", " °C"), "energy": ("energy:", "")}
    parts = []
    for key, (name, unit) in names.items():
        value = found.conditions[key]
        parts.append(f"{name} {value}" if isinstance(value, str) else f"{name} {value[0]:.0f}–{value[1]:.0f}{unit}")
    return f"{', '.join(parts)}."


def check_format(path: Path) -> None:
    """Raises: ConfigError unless `write_comparison` knows the ending."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"--out must end in {' or '.join(FORMATS)}, got {path}")


def write_comparison(found: Comparison, path: Path) -> None:
    """Write it whole as JSON, or its times as CSV, one line per target and shape."""
    check_format(path)
    if path.suffix == ".json":
        write_json(path, found.to_dict())
        return
    rows = [_flat(cell) for cell in found.cells]
    with replacing(path) as written, written.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _flat(cell: Condition) -> dict[str, object]:
    values = asdict(cell)
    ratio = values.pop("ratio")
    return {**values, "times_as_fast": ratio["median"], "low": ratio["low"], "high": ratio["high"]}

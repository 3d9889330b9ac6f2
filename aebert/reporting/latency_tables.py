"""What a latency table says, and how far it can be trusted."""

from __future__ import annotations

from aebert.latency.table import LatencyTable
from aebert.reporting import units
from aebert.reporting.tables import Cell, Column, Table


def accuracy_table(table: LatencyTable) -> Table:
    """By workload: the floor, the dense model, and the error of predictions on whole models that were held out."""
    titles = ("length", "batch", "threads", "floor (ms)", "dense (ms)", "models", "median", "p90", "max")
    accuracy = table.accuracy()
    overall = (
        "No models were held out."
        if accuracy is None
        else f"All settings: median {units.percent(accuracy.median)}, p90 {units.percent(accuracy.p90)}, "
        f"max {units.percent(accuracy.max)} of {accuracy.models} measurements."
    )
    busy = f"\nOther processes were busy in {table.noisy} rounds that count." if table.noisy else ""
    return Table(
        f"Latency table of {table.name}",
        tuple(map(Column, titles)),
        _rows(table),
        "floor: all blocks empty. median, p90, max: distance of predicted from measured medians of held-out whole "
        f"models,\nwith uneven widths and empty blocks, as a share of the prediction. {overall}{busy}",
    )


def _rows(table: LatencyTable) -> tuple[tuple[Cell, ...], ...]:
    rows = []
    for workload, blocks in sorted(table.prices.items()):
        error = table.accuracy_at(workload)
        whole = blocks.predict(table.dense)
        counts = (workload.length, workload.batch, workload.threads)
        rows.append(
            (
                *(Cell(str(count), count) for count in counts),
                Cell(units.significant(blocks.floor_ms), blocks.floor_ms),
                Cell(units.significant(whole), whole),
                Cell(str(error.models if error else 0), error.models if error else 0),
                *(
                    Cell(units.percent(value), value)
                    for value in ((error.median, error.p90, error.max) if error else (None, None, None))
                ),
            )
        )
    return tuple(rows)

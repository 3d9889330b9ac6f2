"""What a latency table says, and how far it can be trusted."""

from __future__ import annotations

from aebert.latency.table import LatencyTable
from aebert.reporting import units
from aebert.reporting.tables import Cell, Column, Table


def accuracy_table(table: LatencyTable) -> Table:
    """One row per workload, with the floor, the dense model, and how far predictions of whole models are off."""
    titles = ("length", "batch", "threads", "floor (ms)", "dense (ms)", "models", "median", "p90", "max")
    accuracy = table.accuracy()
    overall = (
        "No models were held out, so how far predictions are off is not known."
        if accuracy is None
        else f"Predictions of models that the table did not see are off by {units.percent(accuracy.median)} in the "
        f"median, {units.percent(accuracy.p90)} at p90 and {units.percent(accuracy.max)} at most, in {accuracy.models} "
        "measurements."
    )
    busy = f"\nOther processes were busy in {table.noisy} rounds that count." if table.noisy else ""
    return Table(
        f"Latency table of {table.name}",
        tuple(map(Column, titles)),
        _rows(table),
        f"{overall}\nfloor is the time with all blocks empty; median, p90 and max are distances of predicted from "
        "measured medians of such models, which have uneven widths and empty blocks, as shares of the prediction."
        f"{busy}",
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

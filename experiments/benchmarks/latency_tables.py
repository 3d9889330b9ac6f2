"""How well latency tables predict whole models: seconds to measure, and error on held-out models, per form and setting.

python experiments/benchmarks/latency_tables.py --shape bert-base --threads 1 2 --lengths 16 32 64
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import make_parser, table, write_result
from random_berts import SHAPES

from aebert.latency.measurement import TablePlan, measure_table
from aebert.latency.table import LatencyTable
from aebert.latency.table_files import write_table
from aebert.latency.workload import Workload
from aebert.terminal import Terminal, quiet_libraries

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
HEADER = ("form and setting", "models", "median %", "p90 %", "max %")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one table per form, print the errors and write results/benchmarks/latency_tables.json."""
    parser = make_parser(__doc__)
    parser.add_argument("--shape", choices=list(SHAPES), default="bert-base")
    parser.add_argument("--forms", nargs="+", choices=["int8", "float32"], default=["int8", "float32"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[16, 32, 64])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--held-out", type=int, default=20)
    given = parser.parse_args(arguments)
    quiet_libraries()
    settings = tuple(Workload(length, 1, threads) for threads in given.threads for length in given.lengths)
    model, measured, rows = SHAPES[given.shape].model(), {}, []
    for form in given.forms:
        plan = TablePlan(form, settings, given.runs, given.held_out)
        found = measure_table(model, INPUTS, plan, progress=Terminal())
        path = given.results / "benchmarks" / "latency-tables" / f"{given.shape}.{form}.json"
        write_table(found, Path(path))
        measured[form] = _summary(found)
        rows += [_row(f"{form}, {setting}", measured[form]["settings"][str(setting)]) for setting in settings]
        rows.append(_row(f"{form}, all, {found.seconds:.0f} s", measured[form]["all"]))
    print(table(HEADER, rows))
    write_result(given.results, "latency_tables", {"shape": given.shape, "forms": measured})


def _summary(found: LatencyTable) -> dict[str, Any]:
    errors = {str(setting): found.accuracy_at(setting) for setting in found.prices}
    overall = found.accuracy()
    return {
        "seconds": found.seconds,
        "rejected": found.rejected,
        "noisy": found.noisy,
        "all": overall and asdict(overall),
        "settings": {name: each and asdict(each) for name, each in errors.items()},
    }


def _row(name: str, error: dict[str, Any] | None) -> list[Any]:
    if error is None:
        return [name, 0, "", "", ""]
    return [name, error["models"], *(f"{100 * error[key]:.1f}" for key in ("median", "p90", "max"))]


if __name__ == "__main__":
    main()

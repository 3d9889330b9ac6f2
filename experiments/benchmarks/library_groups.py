"""What does removing neurons in groups of eight cost, against one at a time? On the activations of a real model.

    python experiments/benchmarks/library_groups.py --results results --runs results

For every FFN of the dense model, the block library's repair is done twice from the same moments, in groups and one
neuron at a time; the error is the expected squared change of the block's output, weighted as the library weighs it.
Prints the ratio of the errors per share of neurons kept (median and largest over the layers) and the ratio of the
times, and writes `<results>/benchmarks/library_groups.json`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from common import add_runs, make_parser, open_run, table, write_result

from aebert.models.families import Block, family_of
from aebert.pruning.moments import Moments, collect_moments
from aebert.pruning.removal import GROUP, repair_widths
from aebert.run.pipeline import Pipeline

KEPT = (0.75, 0.5, 0.35, 0.2, 0.1)


def errors(block: Block, moments: Moments, group: int) -> tuple[list[float], float]:
    """Error at each share of `KEPT`, and seconds."""
    module: Any = block.output.module
    weight, bias = module.weight.detach(), module.bias.detach()
    neurons = weight.shape[1]
    widths = [round(share * neurons / GROUP) * GROUP for share in KEPT]
    start = time.perf_counter()
    found = {len(one.units): one.error for one in repair_widths(weight, bias, moments, widths, group=group)}
    return [found[width] for width in widths], time.perf_counter() - start


def compare(pipeline: Pipeline) -> list[dict[str, Any]]:
    """One row per FFN: ratios of error and time, groups against one at a time."""
    model = pipeline.dense.model
    blocks = [block for block, size in family_of(model.config).blocks(model) if size == 1]
    all_moments = collect_moments(
        model, blocks, pipeline.candidates.calibration.batches, weighted=True, seed=pipeline.run.config.seed
    )
    rows = []
    for layer, (block, moments) in enumerate(zip(blocks, all_moments, strict=True)):
        (grouped, fast), (single, slow) = (errors(block, moments, group) for group in (GROUP, 1))
        ratios = dict(zip(map(str, KEPT), np.divide(grouped, single).tolist(), strict=True))
        rows.append({"layer": layer, "error_ratio": ratios, "seconds": fast, "seconds_one_at_a_time": slow})
    return rows


def show(task: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table of one task."""
    cells = []
    for share in KEPT:
        ratios = [row["error_ratio"][str(share)] - 1 for row in rows]
        cells.append([f"{share:.0%}", f"{np.median(ratios):+.2%}", f"{max(ratios):+.2%}"])
    print(f"{task}: error of removal in groups of {GROUP} against one at a time, {len(rows)} layers")
    print(table(["neurons kept", "median", "largest"], cells))
    slower = sum(row["seconds_one_at_a_time"] for row in rows) / sum(row["seconds"] for row in rows)
    print(f"one at a time takes {slower:.1f} times as long")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_runs(parser, "sst2")
    given = parser.parse_args(arguments)
    found = {}
    for task in given.only:
        found[task] = compare(open_run(task, given.runs))
        show(task, found[task])
    write_result(given.results, "library_groups", {"group": GROUP, "tasks": found})


if __name__ == "__main__":
    main()

"""Time and memory of library, projection, ask and tell, and scoring, from MiniLM-L6 over BERT-base to BERT-large.

    python experiments/benchmarks/growth.py --results results

Models have random weights; each measurement has a process of its own, so that peak memory is its own too. The libraries
of MiniLM-L6 and BERT-base are built as a whole. BERT-large's is built for two layers on few calibration rows; its whole
time and memory are extrapolated and named so: one pass over the rows grows with layers, rows, and the number of passes
that memory asks for, the removal of units with layers. How ask and tell grow from 100 to 10,000 trials with every
sampler is measured by `search_overhead.py`; here are the larger numbers of preferences. Prints tables and writes
`<results>/benchmarks/growth.json`.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from common import Spread, make_parser, random_architectures, table, write_result
from random_berts import LENGTH, SHAPES, SPEC, Shape, random_rows
from search_overhead import history, values
from transformers import PreTrainedModel

from aebert.models.families import family_of
from aebert.models.shape import ModelShape
from aebert.profiling.memory import peak_memory_bytes
from aebert.pruning.criteria import Importance
from aebert.pruning.library import MOMENTS_BYTES, LibrarySettings, build_library
from aebert.pruning.moments import collect_moments
from aebert.pruning.pruners import CriterionPruner
from aebert.search.budget import make_budget, project
from aebert.search.judge import Judge
from aebert.search.proposer import Proposer
from aebert.search.racing import RaceRows
from aebert.search.samplers import SAMPLERS
from aebert.search.scoring import SubnetworkScorer
from aebert.search.space import Grid

ROWS = 1024  # calibration rows that the library is extrapolated to, and rows that scoring is
REMOVED = 0.5
ASKED = 8  # trials asked and told per size
TRIALS = (100, 1000, 10_000)


# --- library ----------------------------------------------------------------------------------------------------------


def library(name: str) -> dict[str, Any]:
    """Build the library of the measured layers on the measured rows; extrapolate where these are not all."""
    shape = SHAPES[name]
    layers, rows = shape.measured
    model = shape.model(layers)
    batches = [batch.tensors for batch in random_rows(shape, rows).batches]
    baseline = peak_memory_bytes()
    # built before the moments are timed alone, since these leave their own peak of memory
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build_library(model, batches, _widths(shape), Path(folder), LibrarySettings(True, 0, name))
        build = time.perf_counter() - start
        file_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
    measured = {
        "layers": layers,
        "rows": rows,
        "seconds": build,
        "file_bytes": file_bytes,
        "baseline_bytes": baseline,
        "peak_bytes": peak_memory_bytes(),
    }
    if (layers, rows) == (shape.layers, ROWS):
        return {"measured": measured, "whole": measured}
    measured["moments_seconds"] = _moments_seconds(model, batches)
    return {"measured": measured, "whole": extrapolate(shape, measured)}


def _widths(shape: Shape) -> list[list[int]]:
    """Allowed widths of the measured layers' blocks, attention first."""
    allowed = shape.grid.allowed
    layers, _ = shape.measured
    return [*allowed[:layers], *allowed[shape.layers : shape.layers + layers]]


def _moments_seconds(model: PreTrainedModel, batches: Sequence[dict[str, torch.Tensor]]) -> float:
    start = time.perf_counter()
    collect_moments(
        model, [block for block, _ in family_of(model.config).blocks(model)], batches, weighted=True, seed=0
    )
    return time.perf_counter() - start


def extrapolate(shape: Shape, measured: dict[str, Any]) -> dict[str, Any]:
    """The whole library on `ROWS` rows. Where passes > 1 each pass is priced as a full one, an upper bound."""
    share = shape.layers / measured["layers"]
    moments = 8 * (shape.hidden**2 + shape.ffn**2)
    passes = max(1, -(-shape.layers * moments // MOMENTS_BYTES))
    pass_seconds = measured["moments_seconds"] * share * ROWS / measured["rows"]
    removal = max(0.0, measured["seconds"] - measured["moments_seconds"]) * share
    layer_bytes = 4 * (4 * shape.hidden**2 + 2 * shape.hidden * shape.ffn)
    held, held_measured = (min(layers * moments, MOMENTS_BYTES) for layers in (shape.layers, measured["layers"]))
    # what a batch leaves for its backward pass grows with layers; moments don't, since passes keep them within bounds
    activations = share * max(0, measured["peak_bytes"] - measured["baseline_bytes"] - held_measured)
    return {
        "layers": shape.layers,
        "rows": ROWS,
        "passes": passes,
        "seconds": passes * pass_seconds + removal,
        "removal_seconds": removal,
        "file_bytes": int(measured["file_bytes"] * share),
        "peak_bytes": int(
            measured["baseline_bytes"] + (shape.layers - measured["layers"]) * layer_bytes + held + activations
        ),
    }


# --- search -----------------------------------------------------------------------------------------------------------


def search(name: str, samplers: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
    """Milliseconds of a projection, and of asking and telling after so many trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    shape = SHAPES[name]
    grid = shape.grid
    budget = make_budget("macs", REMOVED, LENGTH, shape.counted, grid)
    wishes = np.random.default_rng(0).random((50, len(grid.names)))
    times = [_milliseconds(partial(project, wish, grid, budget)) for wish in wishes]
    rows = [row for sampler in samplers for row in _asked(sampler, grid, sizes)]
    return {"preferences": len(grid.names), "project_ms": float(np.median(times)), "ask_tell": rows}


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def _asked(sampler: str, grid: Grid, sizes: Sequence[int]) -> list[dict[str, Any]]:
    targets = (REMOVED,)
    proposer, done, rows = Proposer(sampler, 0, grid.names, targets), 1, []
    for size in sizes:
        for trial in history(targets, grid.names, done, size):
            proposer.replay([trial])
        times = [_milliseconds(partial(_turn, proposer, number)) for number in range(size, size + ASKED)]
        done = size + ASKED
        rows.append({"sampler": sampler, "trials": size, "ms": float(np.median(times))})
    return rows


def _turn(proposer: Proposer, number: int) -> None:
    asked = proposer.ask(number, REMOVED)
    proposer.tell(asked, values(proposer.preferences(asked), REMOVED, (REMOVED,)), {})


# --- scoring ----------------------------------------------------------------------------------------------------------


def scoring(name: str, rows: int, candidates: int) -> dict[str, Any]:
    """Seconds to score a candidate at half the MACs on `rows` rows without a race, and per `ROWS` rows."""
    shape = SHAPES[name]
    model, counted, grid = shape.model(), shape.counted, shape.grid
    budget = make_budget("macs", REMOVED, LENGTH, counted, grid)
    scorer = SubnetworkScorer(
        model,
        CriterionPruner(model, _random_importance(counted)),
        RaceRows((random_rows(shape, rows),), np.zeros(rows, int)),
        Judge(SPEC),
    )
    baseline = peak_memory_bytes()
    seconds = []
    for architecture in random_architectures(grid, budget, candidates, seed=0):
        start = time.perf_counter()
        scorer(architecture)
        seconds.append(time.perf_counter() - start)
    return {
        "rows": rows,
        "length": LENGTH,
        "seconds": vars(Spread.of(seconds)),
        "seconds_per_1024_rows": float(np.median(seconds)) * ROWS / rows,
        "baseline_bytes": baseline,
        "peak_bytes": peak_memory_bytes(),
    }


def _random_importance(shape: ModelShape) -> Importance:
    generator = np.random.default_rng(0)
    return Importance(
        tuple(generator.random(count) for count in shape.heads), tuple(generator.random(count) for count in shape.ffn)
    )


# --- all --------------------------------------------------------------------------------------------------------------

STEPS: dict[str, Callable[..., dict[str, Any]]] = {"library": library, "search": search, "scoring": scoring}


def step(name: str, *arguments: Any, threads: int) -> dict[str, Any]:
    """One of the measurements, as a process of its own runs it."""
    torch.set_num_threads(threads)
    return STEPS[name](*arguments)


def alone(name: str, *arguments: Any) -> dict[str, Any]:
    """Run a step in a fresh interpreter."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(step, (name, *arguments), {"threads": torch.get_num_threads()})


def show(found: dict[str, dict[str, Any]]) -> None:
    """Print the tables."""
    cells = []
    for name, one in found.items():
        mine, whole, scored = one["library"]["measured"], one["library"]["whole"], one["scoring"]
        cells.append(
            [
                name,
                f"{mine['seconds']:.1f} ({mine['layers']}, {mine['rows']})",
                f"{whole['seconds']:.0f}",
                f"{mine['peak_bytes'] / 1e9:.2f}",
                f"{whole['peak_bytes'] / 1e9:.2f}",
                f"{whole['file_bytes'] / 1e6:.0f}",
                f"{one['search']['project_ms']:.2f}",
                f"{scored['seconds_per_1024_rows']:.2f}",
                f"{scored['peak_bytes'] / 1e9:.2f}",
            ]
        )
    header = ["model", "library s (layers, rows)", "s, whole*", "peak GB", "GB, whole*", "file MB*"]
    print(f"* all layers, {ROWS} calibration rows of {LENGTH} tokens; extrapolated where fewer were measured")
    print(table([*header, "project ms", f"score s ({ROWS} rows*)", "peak GB"], cells))
    asked = [
        [name, one["search"]["preferences"], row["sampler"], row["trials"], f"{row['ms']:.1f}"]
        for name, one in found.items()
        for row in one["search"]["ask_tell"]
    ]
    print(table(["model", "preferences", "sampler", "trials", "ask + tell ms"], asked))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    real = [name for name in SHAPES if name != "toy"]
    parser.add_argument("--shapes", nargs="+", default=real, choices=list(SHAPES))
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe", "nsga2"], choices=list(SAMPLERS))
    parser.add_argument("--trials", nargs="+", type=int, default=list(TRIALS))
    parser.add_argument("--rows", type=int, default=64, help="rows that candidates are scored on")
    parser.add_argument("--candidates", type=int, default=3)
    given = parser.parse_args(arguments)
    found: dict[str, dict[str, Any]] = {}
    for name in given.shapes:
        found[name] = {
            "library": alone("library", name),
            "search": alone("search", name, given.samplers, sorted(given.trials)),
            "scoring": alone("scoring", name, given.rows, given.candidates),
        }
        print(f"{name} measured", flush=True)
    show(found)
    write_result(given.results, "growth", {"threads": torch.get_num_threads(), "shapes": found})


if __name__ == "__main__":
    main()

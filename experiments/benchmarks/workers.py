"""How much faster is a search with two workers than with one, each with one thread?

    python experiments/benchmarks/workers.py
    python experiments/benchmarks/workers.py --scorers sleep work --rounds 3

Three scorers: `sleep` takes a known time and no processor, so it shows what asking, storing and waiting for each other
cost; `work` takes a known amount of the processor's work, so it also shows what the cores lose to each other; `real`
scores sub-networks of a run (`--only TASK`). The same trials are scored by one worker and by two, in turns, and every
round gives a ratio, because other load on the machine changes from minute to minute. Starting the workers is not
counted. The share of the processor that went to other processes is given with every round: without it a ratio says
little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import add_runs, make_parser, open_run, table

from aebert.files import write_json
from aebert.profiling.machine import machine_facts
from aebert.pruning.architecture import Architecture
from aebert.pruning.recipe import Recipe
from aebert.run.workers import worker_setup
from aebert.search.budget import project
from aebert.search.executor import Answer, Score, Work
from aebert.search.processes import Processes
from aebert.search.scored import Scored
from aebert.search.worker import MakeScore

# Candidates differ in cost as those of races do, of which some see a tenth of the rows and some see all.
COSTS = (0.12, 0.25, 0.45, 1.0, 1.0)


@dataclass(frozen=True)
class Known:
    """Makes a scorer that takes a known time for the k-th candidate, asleep or at work."""

    seconds: float
    products: int = 0

    def __call__(self, threads: int) -> Score:
        """See `MakeScore`."""
        matrix = np.random.default_rng(0).random((200, 200))

        def score(work: Work) -> Scored:
            cost = COSTS[work.recipe.architecture.ffn[0] % len(COSTS)]
            if self.products:
                for _ in range(round(self.products * cost)):
                    matrix @ matrix
            else:
                time.sleep(self.seconds * cost)
            return Scored({"accuracy": 0.5}, 1.0)

        return score


@dataclass(frozen=True)
class OneThread:
    """Makes a scorer that computes on one thread, however many cores its worker has."""

    make: MakeScore

    def __call__(self, threads: int) -> Score:
        """See `MakeScore`."""
        return self.make(1)


def products_in(seconds: float) -> int:
    """How many products of the matrix the processor makes in so many seconds, at the fastest of some tries."""
    matrix = np.random.default_rng(0).random((200, 200))
    best = np.inf
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(20):
            matrix @ matrix
        best = min(best, (time.perf_counter() - started) / 20)
    return round(seconds / best)


def seconds_of(executor: Processes, recipes: list[Recipe]) -> tuple[float, float]:
    """Seconds that scoring takes in the order of a search, and the share of the processor that others had meanwhile."""
    before, mine = psutil.cpu_times(), _cpu_seconds()
    started = time.perf_counter()
    asked: list[Future[Answer]] = []
    window = executor.window
    for number, recipe in enumerate(recipes):
        if number >= window:
            asked[number - window].result()  # as the search does: a trial waits until all but the latest are known
        asked.append(executor.submit(Work(recipe)))
    wait(asked)
    seconds = time.perf_counter() - started
    after = psutil.cpu_times()
    busy = sum(getattr(after, part) - getattr(before, part) for part in ("user", "nice", "system"))
    others = busy - (_cpu_seconds() - mine)
    return seconds, max(0.0, others / seconds / (psutil.cpu_count() or 1))


def _cpu_seconds() -> float:
    here = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (here, *here.children(recursive=True)))


def compared(make: MakeScore, recipes: list[Recipe], rounds: int) -> dict[str, Any]:
    """Ratios of one worker's time to two workers', a round after the other."""
    found = []
    make = OneThread(make)
    with Processes(make, 1) as one, Processes(make, 2) as two:
        for executor in (one, two):  # they start, and load what they need
            wait([executor.submit(Work(recipe)) for recipe in recipes[:4]])
        for _ in range(rounds):
            (slow, others), (fast, more) = seconds_of(one, recipes), seconds_of(two, recipes)
            found.append({"one": slow, "two": fast, "ratio": slow / fast, "others": max(others, more)})
    ratios = np.array([one["ratio"] for one in found])
    return {
        "candidates": len(recipes),
        "rounds": [{key: round(value, 3) for key, value in one.items()} for one in found],
        "ratio": round(float(np.median(ratios)), 3),
        "lowest": round(float(ratios.min()), 3),
        "highest": round(float(ratios.max()), 3),
        "efficiency": round(float(np.median(ratios)) / 2, 3),
    }


def real(task: str, runs: Path, count: int) -> tuple[MakeScore, list[Recipe]]:
    """What scores the sub-networks of a run, and some of them."""
    pipeline = open_run(task, runs)
    setup, rng = pipeline.setup, np.random.default_rng(0)
    drawn = [rng.random(len(setup.grid.names)) for _ in range(count)]
    budgets = setup.budgets
    found = [project(one, setup.grid, budgets[place % len(budgets)]) for place, one in enumerate(drawn)]
    return worker_setup(pipeline.candidates), [Recipe(one) for one in found]


def measure(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Results by scorer."""
    known = [Recipe(Architecture((1,), (number,))) for number in range(arguments.candidates)]
    found = {}
    for name in arguments.scorers:
        if name == "real":
            make, recipes = real(arguments.only[0], arguments.runs, arguments.candidates)
        else:
            seconds = arguments.seconds
            make, recipes = Known(seconds, products_in(seconds) if name == "work" else 0), known
        found[name] = compared(make, recipes, arguments.rounds)
        print(name, found[name], flush=True)
    return found


def main() -> None:
    parser = make_parser(__doc__)
    add_runs(parser, "sst2")
    parser.add_argument("--scorers", nargs="+", default=["sleep", "work", "real"], choices=["sleep", "work", "real"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.5, help="of the costliest candidate of a known cost")
    arguments = parser.parse_args()
    results = measure(arguments)
    cells = [
        [name, f"{row['ratio']:.2f}", f"{row['lowest']:.2f}-{row['highest']:.2f}", f"{row['efficiency']:.0%}"]
        for name, row in results.items()
    ]
    print(table(["scorer", "two workers are faster by", "range over rounds", "efficiency"], cells))
    path = arguments.results / "benchmarks" / "workers.json"
    write_json(path, {"benchmark": "workers", "results": results, "machine": machine_facts()})
    print(path)


if __name__ == "__main__":
    main()

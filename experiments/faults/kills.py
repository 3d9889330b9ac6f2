"""kill -9 of a search and of its workers at random moments: are trials lost, doubled or changed, do processes stay?

    python experiments/faults/kills.py --kills 100
    python experiments/faults/kills.py --kills 4 --databases sqlite --workers 4

Each study is killed again and again until it is done, half of the times a worker and half of the times the search
itself, and started again; then its database is compared with that of the same search without faults.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from study import Order, Starter, expected, wait_until

TRIALS, SECONDS = 40, 0.12


def killed_studies(
    starter: Starter, url: Any, workers: int, kills: int, folder: Path, rng: random.Random
) -> dict[str, Any]:
    """Kill studies until there were so many kills.

    url: makes the URL of a new database.
    """
    from tests.search import toy_search as toy

    done: dict[str, Any] = {"of driver": 0, "of worker": 0, "studies": 0, "changed": 0, "double": 0, "stuck": 0}
    started, study = time.perf_counter(), 0
    while done["of driver"] + done["of worker"] < kills:
        order, study, finished = Order(url(), TRIALS, workers, study, SECONDS), study + 1, False
        while not finished:
            left = kills - done["of driver"] - done["of worker"]
            finished = _run(starter, order, done, rng, left)
        done["studies"] += 1
        stored = toy.stored(order.url)
        numbers = [trial["parts"][0] for trial in stored]
        done["double"] += len(numbers) - len(set(numbers))
        done["changed"] += sum(mine != theirs for mine, theirs in zip(stored, expected(order, folder), strict=True))
    return {**done, "trials": TRIALS * done["studies"], "seconds": round(time.perf_counter() - started)}


def _run(starter: Starter, order: Order, done: dict[str, Any], rng: random.Random, left: int) -> bool:
    """One start of a search, with one kill if some are left; whether the search came to its end."""
    process = starter.start(order)
    if left > 0:
        of_worker = order.workers > 1 and rng.random() < 0.5
        if of_worker:  # they take a while to start
            wait_until(lambda: _workers(_family(process)) or not _family(process), 30)
        time.sleep(rng.uniform(0.1, 2.5))
        family = _family(process)
        workers = _workers(family)
        of_worker = of_worker and bool(workers)
        victim = rng.choice(workers) if of_worker else family[0] if family else None
        if victim is not None and _kill(victim):
            done["of worker" if of_worker else "of driver"] += 1
            if not of_worker:
                starter.wait()
                gone = wait_until(lambda: not any(_lives(child) for child in family), 5)
                done["stuck"] += 0 if gone else sum(map(_lives, family))
                return False
    ended = starter.wait()
    if ended != "0":
        raise SystemExit(f"a search ended with {ended!r}")
    return True


def _family(process: int) -> list[psutil.Process]:
    try:
        found = psutil.Process(process)
        return [] if found.status() == psutil.STATUS_ZOMBIE else [found, *found.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _workers(family: list[psutil.Process]) -> list[psutil.Process]:
    return [child for child in family[1:] if "spawn_main" in " ".join(_command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> bool:
    if not _lives(process):
        return False
    os.kill(process.pid, signal.SIGKILL)
    return True


@contextmanager
def _databases(kind: str, folder: Path) -> Iterator[Any]:
    """What makes URLs of new databases."""
    from aebert.search.connections import sqlite_url

    if kind == "sqlite":
        names = (folder / f"study-{number}.db" for number in range(10**6))
        yield lambda: sqlite_url(next(names))
        return
    from tests.search.conftest import Postgres, find_binaries

    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("--databases postgresql needs a PostgreSQL server: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="aebert-postgres-") as place:
        server = Postgres(Path(place), binaries)
        os.environ["PGPASSWORD"] = server.password
        try:
            yield server.url
        finally:
            server.stop()


def measure(kinds: list[str], numbers: list[int], kills: int, seed: int) -> list[dict[str, Any]]:
    """One row per kind of database and number of workers; the kills are shared out among them."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows, rng = [], random.Random(seed)
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder, _databases(kind, Path(folder)) as url:
            starter = Starter()
            for workers in numbers:
                share = -(-kills // (len(kinds) * len(numbers)))
                found = killed_studies(starter, url, workers, share, Path(folder), rng)
                rows.append({"database": kind, "workers": workers, **found})
                print(rows[-1], flush=True)
            starter.close()
    return rows


def main() -> None:
    from aebert.files import write_json
    from aebert.profiling.machine import machine_facts

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds faults/")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = measure(arguments.databases, arguments.workers, arguments.kills, arguments.seed)
    path = arguments.results / "faults" / "kills.json"
    write_json(path, {"fault": "kills", "rows": rows, "machine": machine_facts()})
    print(path)


if __name__ == "__main__":
    main()

"""Faults that are done once: a worker that hangs, dies or gives no number, a full disk, two drivers, a server restart.

    python experiments/faults/single.py
    python experiments/faults/single.py --only hang nan

Each takes seconds, and says whether the study ended with the trials that it has without the fault.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from study import Order, Starter, expected, wait_until

TRIALS = 20
# Neurons of the candidate of the first budget that keeps all layers alike, and of the dense model.
UNIFORM, DENSE = "120", "192"


def hang(starter: Starter, folder: Path) -> dict[str, Any]:
    """A worker that takes more than 2 s for the dense model, and one that does for another candidate."""
    return _told(starter, folder, {DENSE: "hang", UNIFORM: "hang"}, timeout=2.0)


def death(starter: Starter, folder: Path) -> dict[str, Any]:
    """Workers that kill themselves over a candidate."""
    return _told(starter, folder, {DENSE: "die", UNIFORM: "die"})


def nan(starter: Starter, folder: Path) -> dict[str, Any]:
    """A worker that gives no number for the dense model: the trial fails, none after it does."""
    found = _told(starter, folder, {DENSE: "always-nan"})
    return {**found, "same trials": found["failed"] == [0] and found["trials"] == TRIALS}


def _told(starter: Starter, folder: Path, orders: Mapping[str, str], timeout: float | None = None) -> dict[str, Any]:
    from aebert.search.connections import sqlite_url

    for neurons, order in orders.items():
        (folder / neurons).write_text(order)
    order = Order(sqlite_url(folder / "study.db"), TRIALS, 2, 0, 0.05, str(folder), timeout)
    starter.start(order)
    ended = starter.wait()
    left = [name for name, what in orders.items() if not what.startswith("always") and (folder / name).is_file()]
    return {"ended": ended, "not reached": left, **_compared(order, folder)}


def full_disk(starter: Starter, folder: Path) -> dict[str, Any]:
    """A folder of 1 MB (tmpfs) that fills up while the study runs; then it is made larger."""
    from aebert.search.connections import sqlite_url

    small = folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(small)], check=False).returncode:
        return {"skipped": "only the superuser can mount a small disk"}
    try:
        order = Order(sqlite_url(small / "study.db"), 200, 2)
        starter.start(order)
        ended = starter.wait()
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        kept = len(_stored(order))
        starter.start(order)
        again = starter.wait()
        return {
            "ended": ended.replace(str(folder), "…"),
            "trials kept": kept,
            "ended then": again,
            **_compared(order, folder),
        }
    finally:
        subprocess.run(["umount", str(small)], check=True)


def two_drivers(starter: Starter, folder: Path) -> dict[str, Any]:
    """A second search of the same study while the first one runs."""
    from aebert.search.connections import sqlite_url

    order = Order(sqlite_url(folder / "study.db"), TRIALS, 2, 0, 0.2)
    other = Starter()
    first = starter.start(order)
    wait_until(lambda: (folder / "study.db").is_file() and _count(folder / "study.db") > 1, 60)
    other.start(order)
    refused = other.wait().replace(str(first), "P")
    other.close()
    return {"second ended": refused, "ended": starter.wait(), **_compared(order, folder)}


def server_restart(starter: Starter, folder: Path) -> dict[str, Any]:
    """A PostgreSQL server that is stopped (connections are cut) and started again in the middle."""
    from tests.search.conftest import Postgres, find_binaries

    binaries = find_binaries()
    if binaries is None:
        return {"skipped": "needs a PostgreSQL server: apt-get install postgresql"}
    import os

    with tempfile.TemporaryDirectory(prefix="aebert-postgres-") as place:
        server = Postgres(Path(place), binaries)
        os.environ["PGPASSWORD"] = server.password
        starts = Starter()  # after the password is in the environment
        order = Order(server.url(), TRIALS, 2, 0, 0.3)
        starts.start(order)
        time.sleep(3)
        server.stop()
        server.start()
        ended, restarts = starts.wait(), 0
        while ended != "0" and restarts < 3:  # a trial was being written just then: the study is resumed
            starts.start(order)
            ended, restarts = starts.wait(), restarts + 1
        starts.close()
        found = {"ended": ended, "resumed": restarts, **_compared(order, folder)}
        server.stop()
    return found


def _count(path: Path) -> int:
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM trials").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _stored(order: Order) -> list[dict[str, Any]]:
    from tests.search import toy_search as toy

    found: list[dict[str, Any]] = toy.stored(order.url)
    return found


def _compared(order: Order, folder: Path) -> dict[str, Any]:
    stored = _stored(order)
    failed = [trial["parts"][0] for trial in stored if trial["parts"][1] == "FAIL"]
    return {"trials": len(stored), "failed": failed, "same trials": stored == expected(order, folder)}


FAULTS: dict[str, Callable[[Starter, Path], dict[str, Any]]] = {
    "hang": hang,
    "death": death,
    "nan": nan,
    "full disk": full_disk,
    "two drivers": two_drivers,
    "server restart": server_restart,
}


def measure(names: list[str]) -> list[dict[str, Any]]:
    """One row per fault."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    starter, rows = Starter(), []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            found = FAULTS[name](starter, Path(folder))
            rows.append({"fault": name, **found, "seconds": round(time.perf_counter() - started, 1)})
        print(rows[-1], flush=True)
    starter.close()
    return rows


def main() -> None:
    from aebert.files import write_json
    from aebert.profiling.machine import machine_facts

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that holds faults/")
    parser.add_argument("--only", nargs="+", default=list(FAULTS), choices=list(FAULTS), metavar="FAULT")
    arguments = parser.parse_args()
    rows = measure(arguments.only)
    path = arguments.results / "faults" / "single.json"
    write_json(path, {"fault": "single", "rows": rows, "machine": machine_facts()})
    print(path)


if __name__ == "__main__":
    main()

"""Makes `study-<version>.db` and `.json` here; see README.md."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path

from aebert.search.study import search

HERE = Path(__file__).parent


def main(version: str) -> None:
    """Run the toy search of the tests, racing, and store what it returned beside the database."""
    sys.path.append(str(HERE.parents[1]))
    spec = importlib.util.spec_from_file_location("toy_search", HERE.parent / "search" / "toy_search.py")
    assert spec is not None
    assert spec.loader is not None
    toy = sys.modules["toy_search"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy)
    database = HERE / f"study-{version}.db"
    database.unlink(missing_ok=True)
    setup = toy.toy_setup(database, 22, "tpe", (0.3, 0.6))
    records, verdicts = search(setup, toy.RowScorer(), toy.toy_first(setup, "uniform", "magnitude"))
    stored = {
        "info": asdict(setup.info),
        "records": [record.to_dict() for record in records],
        "verdicts": [verdict.to_dict() for verdict in verdicts],
    }
    database.with_suffix(".json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

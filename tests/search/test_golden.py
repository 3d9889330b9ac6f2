"""A study of an earlier version must load for as long as its README promises."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from aebert.pruning.architecture import Architecture
from aebert.search.storage import StudyDatabase, sqlite_url
from aebert.search.study import search

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(params=["study-0.1"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[StudyDatabase, dict[str, object]]:
    """A copy, since opening a database may write to it, and what was in it when it was made."""
    copy = tmp_path / "study.db"
    shutil.copy(GOLDEN / f"{request.param}.db", copy)
    stored = json.loads((GOLDEN / f"{request.param}.json").read_text(encoding="utf-8"))
    return StudyDatabase.load(sqlite_url(copy), "toy"), stored


def test_its_records_are_those_that_were_stored(golden: tuple[StudyDatabase, dict[str, object]]) -> None:
    database, stored = golden
    assert [record.to_dict() for record in database.records()] == stored["records"]
    assert json.loads(json.dumps(vars(database.info))) == stored["info"]
    first, _, third, *_ = database.records()  # by hand: the file beside it could be wrong in the same way
    assert (first.origin, first.architecture) == ("dense", Architecture((4, 4, 4), (64, 64, 64)))
    # 9,676 parameters besides the fixed ones: 1 head and 24 neurons per layer are 7,824, then a head and 12 neurons
    assert (third.origin, third.budget) == ("uniform", 0.6)
    assert third.architecture == Architecture((2, 1, 1), (28, 28, 28))


def test_it_resumes(golden: tuple[StudyDatabase, dict[str, object]], toy: ModuleType, tmp_path: Path) -> None:
    database, _ = golden
    before = database.records()
    after = search(toy.toy_setup(tmp_path / "study.db", 8, "tpe", (0.3, 0.6)), toy.ToyScorer())
    assert after[:6] == before
    assert len(after) == 8

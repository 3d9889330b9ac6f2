"""One process at a time asks and tells on a study."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from aebert.errors import StudyError
from aebert.search import claim as claims
from aebert.search.claim import KEY, Claim, Holder
from aebert.search.connections import sqlite_url
from aebert.search.outcomes import Outcomes
from aebert.search.reading import read_study
from aebert.search.scored import Scored
from aebert.search.study import search


@pytest.fixture
def engine(toy: ModuleType, tmp_path: Path) -> Iterator[Engine]:
    toy.study(toy.toy_setup(tmp_path / "study.db", 2), toy.ToyScorer())
    made = create_engine(sqlite_url(tmp_path / "study.db"))
    yield made
    made.dispose()


def _stored(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT value_json FROM study_user_attributes WHERE key = :key"), {"key": KEY})
        return [json.loads(value) for value in found.scalars()]


def _put(engine: Engine, holder: Holder, beat: datetime) -> None:
    value = json.dumps({**asdict(holder), "beat": beat.isoformat()})
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM study_user_attributes WHERE key = :key"), {"key": KEY})
        connection.execute(
            text("INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, :key, :value)"),
            {"key": KEY, "value": value},
        )


def _elsewhere() -> Holder:
    return replace(Holder.this(), host="elsewhere", machine="another", process=77)


def test_a_second_process_is_refused_with_the_first_ones_host_and_number(engine: Engine) -> None:
    first, second = (Claim(engine, 1, "toy") for _ in range(2))
    first.take()
    with pytest.raises(StudyError) as caught:
        second.take()
    host = Holder.this().host
    assert str(caught.value) == (
        f"study 'toy' is in use by process {os.getpid()} on {host}: wait until that ends, or choose another name"
    )
    second.release()  # not its own
    assert len(_stored(engine)) == 1
    first.release()
    assert _stored(engine) == []
    second.take()
    second.release()


def test_a_search_claims_its_study_and_gives_it_free(toy: ModuleType, tmp_path: Path) -> None:
    url, held = sqlite_url(tmp_path / "study.db"), []

    def score(architecture: Any, rival: Outcomes | None = None) -> Scored:
        made = create_engine(url)
        held.extend(_stored(made))
        made.dispose()
        with pytest.raises(StudyError, match=rf"^study 'toy' is in use by process {os.getpid()} on "):
            toy.study(toy.toy_setup(tmp_path / "study.db", 9), toy.ToyScorer())
        return Scored({"accuracy": 0.5}, 1.0)

    search(toy.toy_setup(tmp_path / "study.db", 2), score, toy.toy_first(toy.toy_setup(tmp_path, 2), "uniform"))
    assert [one["process"] for one in held] == [os.getpid()] * 2
    assert len(read_study(url, "toy").records) == 2
    made = create_engine(url)
    assert _stored(made) == []
    made.dispose()


def test_the_claim_of_a_process_that_was_killed_here_is_taken_at_once(engine: Engine) -> None:
    script = "import sys; from aebert.search.claim import Holder; print(Holder.this().started, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with process:
        assert process.stdout is not None
        started = process.stdout.readline().strip()
        holder = replace(Holder.this(), process=process.pid, started=started)
        _put(engine, holder, datetime.now(UTC) - timedelta(days=1))  # silent for long, but there
        with pytest.raises(StudyError, match=rf"in use by process {process.pid} on "):
            Claim(engine, 1, "toy").take()
        process.kill()
        process.wait()
    claim = Claim(engine, 1, "toy")
    claim.take()
    claim.release()


def test_a_process_with_the_number_of_a_dead_one_is_another(engine: Engine) -> None:
    _put(engine, replace(Holder.this(), started="12"), datetime.now(UTC))
    claim = Claim(engine, 1, "toy")
    claim.take()
    claim.release()


@pytest.mark.parametrize(("seconds", "expires"), [(30, False), (-30, False), (91, True), (-3600, True)])
def test_a_claim_of_another_machine_expires(seconds: int, expires: bool, engine: Engine) -> None:
    """Also one whose sign of life is of the future: then the clock was set back since."""
    _put(engine, _elsewhere(), datetime.now(UTC) - timedelta(seconds=seconds))
    claim = Claim(engine, 1, "toy")
    if expires:
        claim.take()
        assert [one["process"] for one in _stored(engine)] == [os.getpid()]
        claim.release()
        return
    expected = (
        "is in use by process 77 on elsewhere: wait until that ends, or until it has given no sign of life for 90 s"
    )
    with pytest.raises(StudyError, match=expected):
        claim.take()


def test_a_holder_gives_signs_of_life(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.02)
    seen = threading.Event()
    claim = Claim(engine, 1, "toy")
    hold = claim.hold

    def holding(session: Session) -> None:
        hold(session)
        seen.set()

    monkeypatch.setattr(claim, "hold", holding)
    claim.take()
    assert seen.wait(20)
    claim.release()
    assert not claim._heart.is_alive()


def test_a_search_that_lost_its_claim_writes_nothing_more(toy: ModuleType, tmp_path: Path) -> None:
    """It was stopped, say, for so long that another machine took it for dead."""
    url, asked = sqlite_url(tmp_path / "study.db"), []

    def score(architecture: Any, rival: Outcomes | None = None) -> Scored:
        asked.append(architecture)
        if len(asked) == 3:
            made = create_engine(url)
            _put(made, _elsewhere(), datetime.now(UTC))
            made.dispose()
        return Scored({"accuracy": 0.5}, 1.0)

    expected = re.escape("study 'toy' was taken over by process 77 on elsewhere, since this one gave no sign of life")
    with pytest.raises(StudyError, match=f"^{expected}"):
        search(toy.toy_setup(tmp_path / "study.db", 9), score, toy.toy_first(toy.toy_setup(tmp_path, 9), "uniform"))
    assert len(read_study(url, "toy").records) == 2
    made = create_engine(url)
    assert [one["host"] for one in _stored(made)] == ["elsewhere"]  # and leaves the other's claim
    made.dispose()


def test_of_two_that_take_a_dead_ones_claim_one_gets_it(engine: Engine) -> None:
    _put(engine, _elsewhere(), datetime.now(UTC) - timedelta(hours=2))
    first, second = (Claim(engine, 1, "toy") for _ in range(2))
    with Session(engine) as session:
        found = claims.stored_claim(session, 1)
    assert found is not None
    first.take()
    with Session(engine) as session:
        assert not second._replace(session, *found)  # it had looked before the first one took it
    first.release()

"""The claim of the one process that asks and tells on a study, which the study's database holds.

The lock of a run's folder keeps two processes of one machine apart. A claim also keeps those apart that share nothing
but the database: runs in two folders, or on two machines.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import psutil
from sqlalchemy import CursorResult, Engine, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from aebert.errors import StudyError
from aebert.search.rows import models

KEY = "aebert-claim"
# A holder gives a sign of life so often. One on another machine that gave none for much longer is dead.
BEAT_SECONDS, EXPIRES_SECONDS = 20.0, 90.0
_ATTRIBUTES = cast(Table, models.StudyUserAttributeModel.__table__)


@dataclass(frozen=True)
class Holder:
    """A process. host: its name for people. machine: differs between machines, and between containers on one.

    started: differs between processes that had the same number one after the other.
    """

    host: str
    machine: str
    process: int
    started: str
    token: str

    @classmethod
    def this(cls) -> Holder:
        """This process; each call gives another token."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()) or "", uuid.uuid4().hex)

    @property
    def is_known_dead(self) -> bool:
        """Whether it was a process of this machine that has ended."""
        return self.machine == _machine() and _started(self.process) != self.started

    @property
    def is_known_alive(self) -> bool:
        """Whether it is a process of this machine."""
        return self.machine == _machine() and _started(self.process) == self.started


def _machine() -> str:
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.is_file() and space.exists():
        return f"{socket.gethostname()} {boot.read_text().strip()} {space.readlink()}"
    return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _started(process: int) -> str | None:
    """When a process started, by a clock that is never set; None where it does not run."""
    try:
        found = psutil.Process(process)
        if found.status() == psutil.STATUS_ZOMBIE:
            return None
        stat = Path(f"/proc/{process}/stat")
        # field 22, in ticks since the machine was booted; the name in field 2 may hold anything
        return stat.read_text().rpartition(")")[2].split()[19] if stat.is_file() else f"{found.create_time():.0f}"
    except (psutil.NoSuchProcess, OSError):
        return None


class Claim:
    """Holds a study from `take` to `release`, and gives signs of life until then.

    Whoever writes trials calls `hold` in the same transaction. So a process that lost its claim (it was stopped for so
    long that it counted as dead) can write none, whatever clocks say.
    """

    def __init__(self, engine: Engine, study_id: int, name: str) -> None:
        self._engine, self._id, self._name = engine, study_id, name
        self._holder = Holder.this()
        self._ended = threading.Event()

    def take(self) -> None:
        """Claim the study. Raises: StudyError where a process holds it that may be alive."""
        for _ in range(3):  # another process may be faster than this one, and is looked at then
            with Session(self._engine) as session:
                found = self._stored(session)
                taken = self._insert(session) if found is None else self._replace(session, *found)
            if taken:
                self._heart.start()
                return
        raise StudyError(f"study {self._name!r} is being claimed by other processes: run the command again")

    def _insert(self, session: Session) -> bool:
        values = {"study_id": self._id, "key": KEY, "value_json": self._value(session)}
        try:
            session.execute(insert(_ATTRIBUTES).values(values))
            session.commit()
        except IntegrityError:
            return False
        return True

    def _replace(self, session: Session, text: str, now: datetime) -> bool:
        refuse_if_alive(self._name, text, now)
        where = (_ATTRIBUTES.c.study_id == self._id, _ATTRIBUTES.c.key == KEY, _ATTRIBUTES.c.value_json == text)
        statement = update(_ATTRIBUTES).where(*where).values(value_json=self._value(session))
        changed = cast(CursorResult[Any], session.execute(statement)).rowcount
        session.commit()
        return changed == 1

    def _stored(self, session: Session) -> tuple[str, datetime] | None:
        return stored_claim(session, self._id)

    def _value(self, session: Session) -> str:
        return json.dumps({**asdict(self._holder), "beat": _now(session).isoformat()})

    def hold(self, session: Session) -> None:
        """Renew the claim, and keep others from taking it until the transaction ends.

        Raises: StudyError where another process has taken it, or it was removed.
        """
        mine = _ATTRIBUTES.c.value_json.contains(self._holder.token)
        where = (_ATTRIBUTES.c.study_id == self._id, _ATTRIBUTES.c.key == KEY, mine)
        statement = update(_ATTRIBUTES).where(*where).values(value_json=self._value(session))
        if cast(CursorResult[Any], session.execute(statement)).rowcount != 1:
            other = self._stored(session)
            who = "another process" if other is None else _shown(json.loads(other[0]))
            raise StudyError(
                f"study {self._name!r} was taken over by {who}, since this one gave no sign of life for "
                f"{EXPIRES_SECONDS:.0f} s; its trials go on there"
            )

    def release(self) -> None:
        """Give the study free; nothing happens where that was done, or where it is another's by now."""
        self._ended.set()
        if self._heart.is_alive():
            self._heart.join()
        mine = _ATTRIBUTES.c.value_json.contains(self._holder.token)
        with Session(self._engine) as session, session.begin():
            session.execute(
                delete(_ATTRIBUTES).where(_ATTRIBUTES.c.study_id == self._id, _ATTRIBUTES.c.key == KEY, mine)
            )

    @cached_property
    def _heart(self) -> threading.Thread:
        return threading.Thread(target=self._beat, name="aebert-claim", daemon=True)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                with Session(self._engine) as session, session.begin():
                    self.hold(session)
            except StudyError:
                return  # the next trial that is written says so
            except SQLAlchemyError:
                continue  # the database is busy or away; the search itself says so if it stays so


def stored_claim(session: Session, study_id: int) -> tuple[str, datetime] | None:
    """The claim on a study as it is stored, and the time on the database's clock; None where there is none."""
    where = (_ATTRIBUTES.c.study_id == study_id, _ATTRIBUTES.c.key == KEY)
    text = session.execute(select(_ATTRIBUTES.c.value_json).where(*where)).scalar()
    return None if text is None else (text, _now(session))


def refuse_if_alive(name: str, text: str, now: datetime) -> None:
    """Raise StudyError where the process may be alive that a stored claim names."""
    stored = json.loads(text)
    holder = Holder(**{key: stored[key] for key in ("host", "machine", "process", "started", "token")})
    # also one that is from the future: the clock of the database's machine may have been set back
    silent = abs((now - datetime.fromisoformat(stored["beat"])).total_seconds())
    if holder.is_known_dead or (silent > EXPIRES_SECONDS and not holder.is_known_alive):
        return
    waits = "" if holder.is_known_alive else f", or until it has given no sign of life for {EXPIRES_SECONDS:.0f} s"
    raise StudyError(
        f"study {name!r} is in use by {_shown(stored)}: wait until that ends{waits}, or choose another name"
    )


def _shown(stored: Mapping[str, Any]) -> str:
    return f"process {stored['process']} on {stored['host']}"


def _now(session: Session) -> datetime:
    """The time on the database's clock, which is the same for all machines."""
    found: datetime = session.execute(select(func.now())).scalar_one()
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

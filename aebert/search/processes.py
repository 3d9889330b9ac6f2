"""Scoring in several processes of this machine, each on cores of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import connection, resource_tracker
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from aebert.errors import StudyError
from aebert.progress import SILENT, Progress
from aebert.search.executor import Answer, Work
from aebert.search.worker import Failure, MakeScore, serve

# A candidate is given to so many workers, one after the other, before its loss is no accident.
ATTEMPTS = 3
# A worker is hung that takes longer than both for a candidate; it may be the first of its kind, on a busy machine.
PATIENCE_SECONDS, TIMES_THE_LONGEST = 3600.0, 20.0


class _Lost(Exception):
    """A worker is gone; says how."""


class _Stopped(CancelledError):
    """The search has ended meanwhile."""


class Processes:
    """Scores candidates in `workers` processes.

    They are started when the first candidate comes. A candidate whose worker dies, or takes longer than `timeout`
    seconds (and is killed then), is scored again by another. A worker holds nothing that would be lost with it.

    make: what makes a worker's scorer. It is pickled, and so are candidates and answers. Each worker computes on an
    equal part of the cores that this process may use.
    timeout: by default an hour, or more where the longest so far took more than three minutes.
    """

    def __init__(
        self, make: MakeScore, workers: int, *, timeout: float | None = None, progress: Progress = SILENT
    ) -> None:
        # Workers would wait for each other with a smaller one, since results are taken in in the order of asking. With
        # this one they are busy for 98 % of the time where candidates take from an eighth of the longest time on.
        self.window = 2 * workers
        self._timeout, self._progress, self._longest = timeout, progress, 0.0
        resource_tracker.ensure_running()  # here, for it would open the thread that starts a worker to Ctrl-C
        payload = pickle.dumps(make)
        self._places: SimpleQueue[_Place] = SimpleQueue()
        self._all = [_Place(cores, payload) for cores in shares(workers)]
        for place in self._all:
            self._places.put(place)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="aebert-worker")
        self._is_closing = False

    def submit(self, work: Work) -> Future[Answer]:
        """Score a candidate as soon as a worker is free.

        The future raises what scoring raises, and StudyError where `ATTEMPTS` workers were lost.
        """
        return self._pool.submit(self._answer, work)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all workers, also in the middle of a candidate."""
        self._is_closing = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for place in self._all:
            place.close()
        self._pool.shutdown(wait=True)
        for place in self._all:
            place.join()

    def _answer(self, work: Work) -> Answer:
        for attempt in range(ATTEMPTS):
            place = self._places.get()
            try:
                answer = place.answer(work, self._timeout or max(PATIENCE_SECONDS, TIMES_THE_LONGEST * self._longest))
            except _Lost as lost:
                if self._is_closing:
                    raise _Stopped from None
                what = "its candidate is scored again" if attempt + 1 < ATTEMPTS else "its candidate is given up"
                self._progress.say(f"a worker {lost}: {what}")
                how = str(lost)
            else:
                self._longest = max(self._longest, answer.seconds)
                return answer
            finally:
                self._places.put(place)
        raise StudyError(
            f"a candidate must be scored by one of {ATTEMPTS} workers, but each was lost with it (the last {how}): "
            "see that there is memory for all workers, or set search.workers to 1; no trial is lost"
        )


def shares(workers: int) -> list[tuple[int, ...]]:
    """The cores of each worker: equal parts of those that this process may use, without overlap where they suffice."""
    if not hasattr(os, "sched_getaffinity"):
        return [()] * workers
    cores = sorted(os.sched_getaffinity(0))
    if workers >= len(cores):
        return [(cores[worker % len(cores)],) for worker in range(workers)]
    ends = [round(worker * len(cores) / workers) for worker in range(workers + 1)]
    return [tuple(cores[start:end]) for start, end in pairwise(ends)]


class _Place:
    """The cores of a worker, and the worker that runs there at the moment, if one does; used by a thread at a time."""

    def __init__(self, cores: tuple[int, ...], payload: bytes) -> None:
        self._cores, self._payload = cores, payload
        self._threads = len(cores) or max(1, (os.cpu_count() or 1) // 2)
        self._process: Any = None
        self._connection: Any = None
        self._lock, self._is_closed = threading.Lock(), False  # a worker that starts while all are ended must not stay

    def answer(self, work: Work, seconds: float) -> Answer:
        """Have a candidate scored. Raises: _Lost, and what scoring raises."""
        if self._process is None:
            self._start()
            self._said(PATIENCE_SECONDS)
        try:
            self._connection.send(work)
        except OSError:
            raise self._lost("died") from None
        found = self._said(seconds)
        assert isinstance(found, Answer)
        return found

    def close(self) -> None:
        """End the worker, and start no other."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()

    def join(self) -> None:
        """Wait for the end of a closed place's worker, which would be a zombie otherwise."""
        if self._process is not None:
            self._process.join()
            self._connection.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process that has used torch may hang
        with self._lock:
            if self._is_closed:
                raise _Lost("was not needed")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(theirs, self._cores, self._threads), daemon=True)
            with _without_interrupts():
                self._process.start()
            theirs.close()
        try:
            self._connection.send_bytes(self._payload)
        except OSError:
            raise self._lost("died") from None

    def _said(self, seconds: float) -> Answer | None:
        """What the worker sends next."""
        ready = connection.wait([self._connection, self._process.sentinel], seconds)
        if not ready:
            raise self._lost(f"took more than {seconds:g} s and was stopped")
        try:
            found = self._connection.recv()
        except (EOFError, OSError):
            raise self._lost("died") from None
        if isinstance(found, Failure):
            raise found.error
        answer: Answer | None = found
        return answer

    def _lost(self, how: str) -> _Lost:
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        how += f" ({signal.Signals(-code).name})" if how == "died" and code is not None and code < 0 else ""
        self._connection.close()
        with self._lock:
            self._process = self._connection = None
        return _Lost(how)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C, which reaches all of a terminal's: their driver ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

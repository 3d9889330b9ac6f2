"""What runs in a worker: it makes a scorer, and then scores one candidate after the other until its driver is gone.

Nothing heavy is imported here, so that a worker is on its cores before it loads torch.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aebert.search.executor import Score

# From the number of threads that it may compute on to what scores candidates; it must be picklable.
MakeScore = Callable[[int], "Score"]


class Failure:
    """What a worker sends instead of an answer: an exception that was raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def serve(connection: Connection, cores: Sequence[int], threads: int) -> None:
    """Make what scores, say so, and score until the other end is closed.

    cores: that the process and its threads run on; any where the system can't say. The process ends with its driver,
    however that ends and whatever it is doing.
    """
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    Thread(target=_end_with_the_driver, daemon=True).start()
    try:
        make: MakeScore = pickle.loads(connection.recv_bytes())
        score = make(threads)
    except BaseException as error:
        connection.send(_portable(error))
        return
    connection.send(None)
    from aebert.search.executor import answer

    while True:
        try:
            work = connection.recv()
        except EOFError:
            return
        try:
            found = answer(score, work)
        except Exception as error:
            connection.send(_portable(error))
        else:
            connection.send(found)


def _end_with_the_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _portable(error: BaseException) -> Failure:
    """An exception as it can be sent, with the lines that it was raised on as a note."""
    error.add_note("in a worker:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return Failure(RuntimeError("".join(traceback.format_exception(error))))
    return Failure(error)

"""The first thing of ours that a worker of a run loads; it silences libraries before anything else loads them."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aebert.terminal import quiet_libraries

if TYPE_CHECKING:
    from aebert.search.executor import Score
    from aebert.search.worker import MakeScore


@dataclass(frozen=True)
class Quiet:
    """Makes a scorer by what `pickled` holds, with libraries that keep quiet."""

    pickled: bytes

    def __call__(self, threads: int) -> Score:
        """See `aebert.search.worker.MakeScore`."""
        quiet_libraries()
        make: MakeScore = pickle.loads(self.pickled)
        return make(threads)

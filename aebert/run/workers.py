"""What a worker of a search needs of its run: little is sent to it, and it reads the rest from the run's folder."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import torch

from aebert.config import ModelConfig, RunConfig
from aebert.errors import StudyError
from aebert.models.checkpoint import load_checkpoint
from aebert.models.counting import shape_of
from aebert.pruning.criteria import Batches
from aebert.run.candidates import Candidates, calibration
from aebert.run.dense import Dense
from aebert.run.quiet import Quiet
from aebert.run.run import Run
from aebert.run.rungs import Rungs
from aebert.run.study import study_rows, study_scorer
from aebert.search.executor import Score
from aebert.search.racing import RaceRows
from aebert.search.scorers import scoring
from aebert.search.space import Grid
from aebert.studies.folder import DENSE
from aebert.tasks.task import ROLES, Task


@dataclass(frozen=True)
class WorkerSetup:
    """Makes what scores a run's candidates, in any process that sees the run's folder.

    task: without its rows. rows: that candidates are scored on. batches: of the calibration rows. dense: digest of the
    dense model's weights. Dense model and libraries are read from the folder; none is built there.
    """

    config: RunConfig
    task: Task
    rows: RaceRows
    batches: Batches
    grid: Grid
    dense: str

    def __call__(self, threads: int) -> Score:
        """What scores candidates on so many threads. Raises: StudyError where the folder holds another dense model."""
        torch.set_num_threads(threads)
        run = Run(self.config, task=self.task, reads_only=True)
        dense = _stored_dense(run)
        if dense.digest != self.dense:
            raise StudyError(
                f"{run.folder / DENSE} must hold the dense model of the search, its weights have changed: another run "
                "wrote there; choose another name"
            )
        candidates = Candidates(run, dense, self.grid)
        candidates.calibration = calibration(self.batches, self.task.spec, self.config.seed)
        scorer = study_scorer(run, dense, candidates.pruner, self.rows)
        return scoring(scorer, Rungs(candidates, scorer) if run.has_ladder else None)


def worker_setup(candidates: Candidates) -> Quiet:
    """What workers need to score these candidates. The library, or what else they are cut with, is made first."""
    run, dense = candidates.run, candidates.dense
    _ = candidates.pruner
    task = Task(run.task.spec, dict.fromkeys(ROLES, ()), run.task.digests)
    batches = candidates.calibration.batches
    setup = WorkerSetup(run.config, task, study_rows(run, dense), batches, candidates.grid, dense.digest)
    return Quiet(pickle.dumps(setup))


def _stored_dense(run: Run) -> Dense:
    stored = load_checkpoint(ModelConfig(path=str(run.folder / DENSE)), run.task.spec, run.config.seed)
    return Dense(stored.model, stored.tokenizer, shape_of(stored.model), stored.digest, 0.0)

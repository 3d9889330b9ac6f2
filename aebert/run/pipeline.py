"""All stages of a run put together: asking for a later one does all that is missing before it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from aebert.config import RunConfig
from aebert.latency.sources import PriceSource
from aebert.models.checkpoint import Checkpoint
from aebert.models.evaluation import Prepared
from aebert.progress import SILENT, Progress
from aebert.pruning.pruners import Pruner
from aebert.reporting.checked import Checked, checked_lines
from aebert.run.baselines import Baseline, fine_tuned_baselines
from aebert.run.candidates import Candidates
from aebert.run.check import check, checked, load_start
from aebert.run.dense import Dense, dense_model, select_metrics
from aebert.run.export import Export
from aebert.run.finalists import Finalist, fine_tuned_finalists
from aebert.run.flatbuffers import FlatBuffers
from aebert.run.profiles import confirm_latency, measure_in_turns
from aebert.run.run import Run
from aebert.run.rungs import Rungs
from aebert.run.scores import report_scores
from aebert.run.setup import KNOWN_LATER, budget_prices, known_settings, search_setup
from aebert.run.shipped import ShippedModel, shipped_models
from aebert.run.study import first_trials, study_rows, study_scorer
from aebert.run.vocabulary import with_vocabulary
from aebert.run.workers import worker_setup
from aebert.search.kinds import KINDS
from aebert.search.processes import Processes
from aebert.search.record import TrialRecord, Verdict
from aebert.search.schedule import FirstTrials
from aebert.search.scoring import SubnetworkScorer
from aebert.search.setup import SearchSetup
from aebert.search.storage import check_storage, check_study
from aebert.search.study import search
from aebert.studies.folder import DENSE
from aebert.tasks.task import Role


class Pipeline:
    """A run's stages, in order. Each is a property that does the stage, or reads its result where it is done already.

    Results are kept, so that a later stage of the same object does not load them again.
    """

    def __init__(self, config: RunConfig, progress: Progress = SILENT) -> None:
        self.run = Run(config, progress)

    # --- what the run starts from, and the dense model ----------------------------------------------------------

    @cached_property
    def start(self) -> Checkpoint:
        """The checkpoint that the run starts from, with the run's vocabulary."""
        whole = load_start(self.run)
        self.run.reference = whole
        return with_vocabulary(self.run, whole)

    @cached_property
    def checked(self) -> Checked:
        """How checkpoint and rows were understood.

        Raises: ModelError where a checkpoint that counts as fine-tuned scores no better than guessing.
        """
        return checked(self.run, self.start)

    def inspect(self) -> Checked:
        """The same, without a trace in the run's folder.

        Raises: also StudyError where the study has trials of other settings, and BudgetError where a budget is out of
          reach, unless blocks would have to be measured for that.
        """
        run = self.run
        check_study(run.storage, run.config.name, known_settings(run), KNOWN_LATER)
        if not KINDS[run.config.search.budget.kind].is_priced:
            _ = search_setup(run, self.start.model, None, {}).budgets
        return check(run, self.start)

    @cached_property
    def dense(self) -> Dense:
        """The dense model, fine-tuned if it must be.

        Raises: StudyError, before anything is overwritten, where the study has trials of other settings or of another
            dense model; ModelError where the checkpoint or the rows may have been misread.
        """
        begun = self._begun  # first: it reads settings alone
        return dense_model(self.run, self.start, self._check_start, in_use=begun)

    @cached_property
    def _begun(self) -> bool:
        """Whether the study has trials; where it has, they are of the settings that are known before any work."""
        run = self.run
        run.folder.mkdir(parents=True, exist_ok=True)
        trials = check_study(run.storage, run.config.name, known_settings(run), KNOWN_LATER)
        if not trials:
            run.store_config()
        return trials > 0

    def _check_start(self) -> None:
        """Show how checkpoint and rows were understood.

        Raises: what the search would raise where a budget is out of reach, or its database can't be made; ModelError
          where the checkpoint may have been misread.
        """
        model, tokenizer = self.start.model, self.start.tokenizer
        _ = search_setup(self.run, model, budget_prices(self.run, model, tokenizer), {}).budgets
        check_storage(self.run.storage)
        for line in checked_lines(self.checked):
            self.run.progress.say(line)

    @cached_property
    def dense_select_metrics(self) -> Mapping[str, float]:
        """Metrics of the dense model on the select rows."""
        return select_metrics(self.run, self.dense)

    def rows(self, role: Role) -> Prepared:
        """The rows of a role, encoded and in batches."""
        return self.run.rows(role, self.dense.tokenizer)

    # --- candidates and their search ----------------------------------------------------------------------------

    @cached_property
    def latency_prices(self) -> PriceSource | None:
        """What a latency budget is counted with; None for other kinds."""
        return budget_prices(self.run, self.dense.model, self.dense.tokenizer)

    @cached_property
    def setup(self) -> SearchSetup:
        """What the search needs besides a scorer.

        Raises: StudyError where the study was made with other settings, before anything is made with these.
        """
        settings = {"model.weights": self.dense.digest}
        setup = search_setup(self.run, self.dense.model, self.latency_prices, settings, self.checked.study_notes)
        check_study(setup.storage, setup.info.name, setup.settings)
        self.run.store_config()  # of a study that has trials not before they are known to be of this config
        return setup

    @cached_property
    def candidates(self) -> Candidates:
        """What sub-networks are made of."""
        return Candidates(self.run, self.dense, self.setup.grid)

    @property
    def pruner(self) -> Pruner:
        """What makes a sub-network of an architecture."""
        return self.candidates.pruner

    @cached_property
    def scorer(self) -> SubnetworkScorer:
        """What scores candidates on the search rows."""
        return study_scorer(self.run, self.dense, self.pruner, study_rows(self.run, self.dense))

    @cached_property
    def rungs(self) -> Rungs:
        """What makes the sub-network of any recipe, and scores it unless workers do."""
        return Rungs(self.candidates, self.scorer if self.run.config.search.workers == 1 else None)

    @property
    def _scores(self) -> SubnetworkScorer | Processes:
        """What the search has its candidates scored by."""
        search = self.run.config.search
        if search.workers == 1:
            return self.scorer
        make = worker_setup(self.candidates)
        return Processes(make, search.workers, timeout=search.timeout, progress=self.run.progress)

    @property
    def first_trials(self) -> FirstTrials:
        """What the methods of the first trials propose for each budget."""
        return first_trials(self.candidates, self.setup.budgets)

    @cached_property
    def study(self) -> tuple[list[TrialRecord], list[Verdict]]:
        """The study, run up to its total of trials: all that were scored, and the verdict on each budget."""
        setup = self.setup  # first: what is wrong with it should show before hours of work
        ladder = None if setup.between is None else self.rungs
        return search(setup, self._scores, self.first_trials, self.run.progress, ladder)

    @property
    def trials(self) -> list[TrialRecord]:
        """All trials of the study that were scored."""
        return self.study[0]

    # --- what ships ---------------------------------------------------------------------------------------------

    @cached_property
    def finalists(self) -> list[Finalist]:
        """The best candidates, fine-tuned."""
        return fine_tuned_finalists(self.rungs, *self.study, self.setup.info)

    @cached_property
    def baselines(self) -> list[Baseline]:
        """What the finalists are held against, fine-tuned; none unless `finalists.baselines` asks for them."""
        return fine_tuned_baselines(self.run, self.dense, self.setup, self.latency_prices, self.finalists)

    @cached_property
    def models(self) -> list[ShippedModel]:
        """The dense model, the finalists and the baselines."""
        return shipped_models(self.run, self.dense, self.finalists, self.baselines)

    @cached_property
    def export(self) -> Export:
        """The ONNX files of all models."""
        return Export(self.run, self.dense, self.models)

    @cached_property
    def flatbuffers(self) -> FlatBuffers:
        """The FlatBuffers of all models; none without `deploy.litert`."""
        return FlatBuffers(self.run, self.dense, self.models, lambda: self.export.files[DENSE])

    @cached_property
    def scores(self) -> dict[str, dict[str, Any]]:
        """What `score_file` says of every ONNX file on the report rows, by the file's name."""
        return report_scores(self.run, self.dense.tokenizer, self.export.files)

    @cached_property
    def profiles(self) -> dict[str, Any]:
        """Latency, throughput, size and memory of every ONNX file, all in one interleaved run."""
        return measure_in_turns(self.run, self.dense.tokenizer, "profile", self.export.files)

    @cached_property
    def confirmed(self) -> dict[str, dict[str, Any]]:
        """What shipped files take at the setting of a latency budget, dense aside; see `confirm_latency`."""
        names = [model.name for model in self.models if model.name != DENSE]
        files: dict[str, Path] = {name: self.export.files[self.export.shipped(name)] for name in names}
        return confirm_latency(self.run, self.latency_prices, files)

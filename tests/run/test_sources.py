from __future__ import annotations

from pathlib import Path

import pytest

from aebert.errors import ConfigError, StudyError
from aebert.pruning.architecture import Architecture
from aebert.reporting.documents import SUMMARY, write_summary_json
from aebert.reporting.report import Report
from aebert.run.study import first_trials
from aebert.search.record import Origin, StudyInfo, TrialRecord, Verdict
from aebert.studies.opening import open_report

from .conftest import MakePipeline

FULL = Architecture((4, 4, 4, 4), (64,) * 4)
MILD, HARD, NEAR = (Architecture((heads,) * 4, (16 * heads,) * 4) for heads in (3, 1, 2))


def _trial(number: int, origin: Origin, architecture: Architecture, budget: float | None, score: float) -> TrialRecord:
    return TrialRecord(
        number=number,
        origin=origin,
        architecture=architecture,
        budget=budget,
        score=score,
        metrics={"accuracy": score},
        loss=1.0,
        params=1000,
        sparsity=budget or 0.0,
        macs=1000,
        macs_removed=budget or 0.0,
        seconds=0.0,
    )


TRIALS = (
    _trial(0, "dense", FULL, None, 0.9),
    _trial(1, "uniform", MILD, 0.25, 0.8),
    _trial(2, "sampled", HARD, 0.75, 0.7),
    _trial(3, "sampled", NEAR, 0.25, 0.79),
)


def store(results: Path, trials: tuple[TrialRecord, ...], chosen: int = 1, name: str = "other") -> Path:
    """A study of which only the summary is there."""
    info = StudyInfo(name, "task", "model", "accuracy", "sparsity", (0.25, 0.75), 16, "tpe", 0, len(trials), 8)
    verdict = Verdict(0.25, 1, (1, 3), chosen, 3, None, {})
    folder = results / name
    folder.mkdir(parents=True, exist_ok=True)
    write_summary_json(Report(info, trials, verdicts=(verdict,) if len(trials) > 1 else ()), folder / SUMMARY)
    return folder


def search(*first: str, trials: int = 4) -> dict[str, object]:
    budget = {"sparsity": [0.25, 0.5]}
    return {"trials": trials, "space": "fine-grid", "budget": budget, "first": list(first), "rungs": "none"}


def test_what_another_study_chose_is_tried_first(pipeline: MakePipeline, tmp_path: Path) -> None:
    store(tmp_path / "results", TRIALS, chosen=3)
    toy = pipeline(search=search("study:other", trials=3))
    assert toy.run.sources["study:other"].best == (NEAR, HARD)
    (proposed,) = first_trials(toy.candidates, toy.setup.budgets).values()
    found = toy.trials
    assert [(trial.origin, trial.budget) for trial in found[1:]] == [("study:other", 0.25), ("study:other", 0.5)]
    assert [trial.architecture for trial in found[1:]] == proposed

    # a study goes on only from what it began with
    assert len(pipeline(search=search("study:other", trials=4)).trials) == 4
    store(tmp_path / "results", TRIALS, chosen=1)
    changed = pipeline(search=search("study:other"))
    with pytest.raises(StudyError, match=r"made with other settings: search\.first\.study:other was"):
        changed.inspect()
    (tmp_path / "results" / "other" / SUMMARY).unlink()
    assert open_report("toy", tmp_path / "results")[0].trials[1].origin == "study:other"


def test_a_path_stands_for_its_folder_s_name(pipeline: MakePipeline, tmp_path: Path) -> None:
    folder = store(tmp_path / "elsewhere", TRIALS)
    toy = pipeline(search=search("uniform", f"study:{folder}", trials=6))
    assert toy.run.first == ("uniform", "study:other")
    settings = toy.setup.settings
    assert settings["search.first"] == ["uniform", "study:other"]
    assert str(tmp_path) not in str({key: value for key, value in settings.items() if "first" in key})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "none",
            r"^search\.first: study 'none' must be a folder in .*, got neither; there: empty, other, toy$",
        ),
        ("empty", r"^search\.first: study 'empty' has no candidates with a score yet; search it first$"),
        ("toy", r"^search\.first: study 'toy' is this study itself; name another one$"),
    ],
)
def test_a_study_that_gives_nothing_is_refused_before_any_work(
    name: str, message: str, pipeline: MakePipeline, tmp_path: Path
) -> None:
    for study, trials in (("empty", TRIALS[:1]), ("other", TRIALS), ("toy", TRIALS)):
        store(tmp_path / "results", trials, name=study)
    with pytest.raises(ConfigError, match=message) as error:
        pipeline(search=search("uniform", f"study:{name}", trials=6))
    assert "\n" not in str(error.value)


def test_two_studies_of_one_name_are_refused(pipeline: MakePipeline, tmp_path: Path) -> None:
    folders = [store(tmp_path / place, TRIALS) for place in ("results", "elsewhere")]
    with pytest.raises(ConfigError, match=r"^search\.first: each study must have a folder name of its own, 'other' is"):
        pipeline(search=search(*(f"study:{folder}" for folder in folders), trials=6))


def test_studies_count_as_first_trials(pipeline: MakePipeline, tmp_path: Path) -> None:
    store(tmp_path / "results", TRIALS)
    with pytest.raises(ConfigError, match=r"search\.trials must be at least 5, the dense model and 2 first trials"):
        pipeline(search=search("uniform", "study:other"))

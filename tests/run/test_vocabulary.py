from __future__ import annotations

import json
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertTokenizerFast

from aebert.errors import BudgetError, ConfigError, DataError, StudyError
from aebert.models.evaluation import evaluate
from aebert.pruning.subnetwork import load_subnetwork
from aebert.reporting.overview import model_tables
from aebert.reporting.report import Report
from aebert.run.bundles import bundles
from aebert.run.check import load_start
from aebert.run.report import report
from aebert.run.setup import known_settings
from aebert.runtime import Model

from ..conftest import VOCABULARY
from .conftest import MakePipeline

LETTERS = {*string.ascii_lowercase, *(f"##{one}" for one in string.ascii_lowercase)}
PIECES = (*VOCABULARY, *sorted(LETTERS - {*VOCABULARY}), "sequel", "##sequel", "director")
REQUIRED = 5 + 26 + 26 + 2  # special tokens, letters at and after the start of a word, full stop and comma
USED = REQUIRED + 21  # the words of all texts but `a`, which is a letter


@pytest.fixture(scope="session")
def checkpoint(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny fine-tuned model with pieces that no text uses, and with letters that all words can be read in."""
    folder = tmp_path_factory.mktemp("letters") / "letters"
    model = AutoModelForSequenceClassification.from_pretrained(made["my-checkpoint"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.resize_token_embeddings(len(PIECES), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer = BertTokenizerFast(vocab={piece: index for index, piece in enumerate(PIECES)}, model_max_length=64)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def small(pipeline: MakePipeline, checkpoint: Path) -> Callable[..., Any]:
    """`small(keep=…)`: a pipeline with such a `pruning.vocabulary`; `sections` replace others of its config."""

    def make(sections: dict[str, Any] | None = None, **vocabulary: Any) -> Any:
        pruning = {"calibration_rows": 16, "vocabulary": vocabulary}
        return pipeline(model={"path": str(checkpoint)}, pruning=pruning, **(sections or {}))

    return make


def _outputs(model: Any, rows: Any) -> np.ndarray:
    return np.stack(evaluate(model, rows).logits)


def test_the_run_knows_only_what_its_texts_use(small: Any) -> None:
    run = small()
    whole, start = load_start(run.run), run.start
    assert (len(whole.tokenizer), len(start.tokenizer)) == (len(PIECES), USED)
    assert (start.facts.vocabulary, start.facts.embeddings, start.model.config.vocab_size) == (USED,) * 3
    gone = whole.facts.parameters - start.facts.parameters
    assert gone == (len(PIECES) - USED) * 32 == whole.facts.shape.other_params - start.facts.shape.other_params
    assert start.digest != whole.digest
    dense = run.dense
    assert dense.tokenizer.get_vocab() == start.tokenizer.get_vocab()
    assert dense.shape == start.facts.shape
    rows = run.run.rows("search", whole.tokenizer)
    assert np.array_equal(_outputs(dense.model, run.rows("search")), _outputs(whole.model, rows))


def test_what_is_saved_and_lost_is_shown_before_the_run(small: Any, tmp_path: Path) -> None:
    news = tmp_path / "news.txt"
    news.write_text("the sequel was good .\n\nthe film\n", encoding="utf-8")
    found = small(held_out=[str(news)]).inspect().vocabulary
    assert [(one.name, one.rows) for one in found.read] == [
        *(("train rows", 48), ("search rows", 24), ("select rows", 12), ("report rows", 36)),
        ("held-out news.txt", 2),
    ]
    for one in found.read[:-1]:
        assert (one.broken, one.small_tokens, one.small_cut) == (0, one.whole_tokens, one.whole_cut)
    lost = found.read[-1]
    assert (lost.words, lost.broken) == (7, 1)
    assert (lost.whole_tokens, lost.small_tokens) == (7 + 4, 7 + 4 + len("sequel") - 1)
    assert found.cost.whole == found.cost.small > 0.5
    assert (found.cost.low, found.cost.high) == (0, 0)
    assert not (tmp_path / "results").exists()


def test_budgets_count_the_small_model(small: Any, pipeline: MakePipeline, checkpoint: Path) -> None:
    """Most parameters that even the smallest sub-network of the whole model is above."""

    def smallest(run: Any) -> int:
        shape = run.start.facts.shape
        return int(shape.other_params + shape.fixed_params)

    whole, search = pipeline(model={"path": str(checkpoint)}), {"trials": 8, "space": "fine-grid", "rungs": "none"}
    assert smallest(small()) < smallest(whole)
    search |= {"budget": {"params": smallest(small())}}
    assert small({"search": search}).inspect().vocabulary is not None
    with pytest.raises(BudgetError, match=r"budget must be reachable: params \d+ is below the \d+ that"):
        _ = pipeline(model={"path": str(checkpoint)}, search=search).inspect()


def test_texts_of_the_user_count_as_train_rows_do(small: Any, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("the director\n", encoding="utf-8")
    pieces = set(small(texts=[str(texts)]).start.tokenizer.get_vocab())
    assert pieces == {*small().start.tokenizer.get_vocab(), "director"}


def test_a_model_that_words_tell_nothing_any_more_is_refused(small: Any) -> None:
    run = small(keep=REQUIRED)
    message = r"must leave a model that does better than guessing, 59 of \d+ pieces don't \(the model counts .*always$"
    with pytest.raises(ConfigError, match=message):
        _ = run.checked
    assert small({"dense": {"train": "always"}}, keep=REQUIRED).checked.vocabulary.cost is None


def test_the_choice_is_a_setting_of_the_study_and_none_is_not(
    small: Any, pipeline: MakePipeline, tmp_path: Path
) -> None:
    without = known_settings(pipeline().run)
    assert not [key for key in without if "vocabulary" in key]
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("the director\n", encoding="utf-8")
    shutil.copy(one, other)
    settings = [
        known_settings(small(keep=70, **values).run) for values in ({"texts": [str(one)]}, {"texts": [str(other)]})
    ]
    assert settings[0] == settings[1]  # files are known by what they hold
    assert settings[0]["pruning.vocabulary.keep"] == 70
    held_out = known_settings(small(keep=70, texts=[str(one)], held_out=[str(one)]).run)
    assert held_out == settings[0]
    other.write_text("the sequel\n", encoding="utf-8")
    assert known_settings(small(keep=70, texts=[str(other)]).run) != settings[0]


def test_the_dense_stage_is_of_one_vocabulary(small: Any) -> None:
    first = small(keep=USED - 1).dense
    again = small(keep=USED - 1).dense
    assert first.digest == again.digest
    assert small().dense.digest != first.digest


@pytest.mark.parametrize(
    ("texts", "content", "message"),
    [
        ("a.txt", None, r"pruning\.vocabulary\.texts must name text files, .*a\.txt is no such file; check the path"),
        ("a.txt", b" \n\n", r"pruning\.vocabulary\.texts: .*a\.txt must have at least one text, it is empty; leave"),
        ("a.txt", b"\x89PNG\r\n\x1a\n", r"a\.txt:1 must be UTF-8 text, byte 1 of the line is not"),
        ("a.csv", b"text\nx\n", r"must name plain text files, one text a line, got .*a\.csv; write its texts into a"),
    ],
)
@pytest.mark.parametrize("key", ["texts", "held_out"])
def test_files_that_are_no_texts_are_refused_first(
    key: str, texts: str, content: bytes | None, message: str, small: Any, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / texts).write_bytes(content)
    with pytest.raises(DataError, match=message.replace("texts must", f"{key} must").replace("texts:", f"{key}:")):
        _ = small(**{key: [str(tmp_path / texts)]}).checked


@pytest.mark.slow
def test_all_that_ships_has_the_small_vocabulary(small: Any, tmp_path: Path) -> None:
    run = small(keep=USED - 3)
    finished = report(run)
    assert run.finalists
    for finalist in run.finalists:
        assert load_subnetwork(finalist.folder).config.vocab_size == USED - 3
        assert len(BertTokenizerFast.from_pretrained(finalist.folder)) == USED - 3
    assert len(run.trials) == 8
    assert run.trials[0].params == run.start.facts.parameters
    assert finished.info.notes[-1].startswith(f"{USED - 3} of {len(PIECES)} pieces are kept (")
    assert all(trial.params < run.start.facts.parameters for trial in run.trials[1:])
    for name, folder in bundles(run).items():
        stated = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["text"]
        assert (stated["vocabulary"], stated["embeddings"]) == (USED - 3, USED - 3), name
        texts = [row.text[0] for row in run.run.task.rows["report"]]
        assert len(Model.load(folder).predict(texts)) == len(texts)
    table = next(one for one in model_tables(finished) if one.title == "Vocabulary")
    assert [row[0].text for row in table.rows] == [f"{role} rows" for role in ("train", "search", "select", "report")]
    stored = json.loads((run.run.folder / "summary.json").read_text(encoding="utf-8"))
    assert Report.from_dict(stored).checked == finished.checked
    with pytest.raises(StudyError, match=r"pruning\.vocabulary\.keep was 77, now 76"):
        _ = small(keep=USED - 4).dense
    again = small(keep=USED - 3)
    assert [trial.architecture for trial in again.trials] == [trial.architecture for trial in run.trials]

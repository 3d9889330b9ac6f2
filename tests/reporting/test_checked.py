from __future__ import annotations

import json
from dataclasses import replace

from aebert.pruning.reading import Read
from aebert.reporting.checked import Checked, DenseScore, checked_lines
from aebert.reporting.vocabulary import SmallVocabulary

FOUND = Checked(
    model="my-model",
    checkpoint={
        "family": "bert",
        "stored_class": "BertForSequenceClassification",
        "shape": {"heads": [12, 12], "ffn": [1536, 1536], "hidden": 384},
        "parameters": 22_600_000,
        "head_kept": True,
        "outputs": {"bad": "NEG", "good": "good"},
        "files": ["model.safetensors"],
        "dtypes": ["float16"],
        "tokenizer": "BertTokenizer",
        "vocabulary": 30522,
        "lowercases": False,
        "positions": 512,
    },
    trains=False,
    max_length=128,
    window=False,
    lengths={
        "train": {"rows": 6917, "longest": 166, "cut": 3, "tokens": 99999},
        "search": {"rows": 584, "longest": 66, "cut": 0, "tokens": 999},
    },
    classes={"train": {"bad": 3300, "good": 3617}, "search": {f"c{at}": at + 1 for at in range(9)}},
    score=DenseScore(
        metric="accuracy",
        value=0.884,
        interval=(0.855, 0.911),
        rows=584,
        guess=0.521,
        guess_is="always saying 'good'",
    ),
    seconds={"dense": 0.0, "library": 89.0, "search": 300.0, "files": 7200.0},
    bytes={"dense": 90_000_000, "library": 170_000_000},
    notes=("one", "another one " * 9),
)


def test_lines() -> None:
    assert checked_lines(FOUND) == [
        "Model    my-model: bert, 2 layers of 384, 12 heads and 1536 FFN neurons each,",
        "         22,600,000 parameters, from model.safetensors (float16)",
        "Output   the checkpoint's own (BertForSequenceClassification: bad = NEG, good)",
        "Tokens   BertTokenizer, 30,522 pieces, capitals are kept; 512 positions, longer",
        "         rows are cut at 128",
        "Rows     train: 6,917, longest 166 tokens, 3 cut; bad 3,300, good 3,617",
        "         search: 584, longest 66 tokens; 9 classes, from c0 1 to c8 9",
        "Score    accuracy 88.4 (95 % interval 85.5 to 91.1) on 584 search rows;",
        "         guessing scores 52.1 (always saying 'good')",
        "Expect   about 2.1 h on this machine (library 89 s, search 5 min, files 2.0 h),",
        "         and 260 MB of disk; a rough guess from one timed pass",
        "Notes    one",
        "         another one another one another one another one another one another",
        "           one another one another one another one",
    ]


def test_a_finished_run_is_not_expected_to_take_anything() -> None:
    lines = checked_lines(FOUND, finished=True)
    assert lines == checked_lines(FOUND)[:9]


def test_what_is_to_be_trained() -> None:
    new = replace(FOUND, trains=True, score=None, checkpoint={**FOUND.checkpoint, "head_kept": False, "outputs": {}})
    lines = checked_lines(new)
    assert "Output   new; the dense model is fine-tuned first" in lines
    assert "Score    not known before that" in lines


def test_windows() -> None:
    assert "         rows are read in windows of 128" in checked_lines(replace(FOUND, window=True))


def test_a_score_without_an_interval() -> None:
    assert FOUND.score is not None
    lines = checked_lines(replace(FOUND, score=replace(FOUND.score, interval=None)))
    assert "Score    accuracy 88.4 on 584 search rows; guessing scores 52.1 (always saying" in lines


def test_values_come_back() -> None:
    for found in (FOUND, replace(FOUND, score=None)):
        assert Checked.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_smaller_vocabulary_is_shown_and_noted() -> None:
    read = Read("search rows", 10, 200, 5, 300, 330, 0, 0, 0, 0)
    found = replace(FOUND, vocabulary=SmallVocabulary(30_522, 4_000, 22_713_986, 12_529_538, (read,)))
    lines = checked_lines(found)
    place = next(index for index, line in enumerate(lines) if line.startswith("Pieces"))
    assert lines[place - 1].strip() == "rows are cut at 128"
    assert [line.strip() for line in lines[place : place + 4]] == [
        "Pieces   4,000 of 30,522 pieces are kept (13 %): the dense model has 12,529,538",
        "of 22,713,986 parameters, 50.1 instead of 90.9 MB in float32",
        "search rows: 2.5 % of 200 words fall apart, rows get 10.0 % longer",
        lines[place + 3].strip(),
    ]
    assert lines[place + 3].startswith("Rows")
    assert found.study_notes[:-1] == FOUND.notes == FOUND.study_notes
    assert found.study_notes[-1].startswith("4,000 of 30,522 pieces are kept")
    assert Checked.from_dict(json.loads(json.dumps(found.to_dict()))) == found

"""What is kept of a tokenizer.json, on cases small enough to be written out."""

from __future__ import annotations

from typing import Any

import pytest

from aebert.pruning.pieces import PIECE_MODELS, cut_file, special_ids

WORDPIECE = {
    "unk_token": "?",
    "continuing_subword_prefix": "##",
    "vocab": {"?": 0, "a": 1, "##b": 2, "ab": 3, "##bb": 4, "ac": 5},
}
BPE: dict[str, Any] = {
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
    "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "bc": 5},
    "merges": [["a", "b"], ["ab", "c"], ["b", "c"], ["a", "bc"]],
}
UNIGRAM: dict[str, Any] = {
    "unk_id": 0,
    "byte_fallback": False,
    "vocab": [["?", 0.0], ["a", -3.0], ["b", -3.0], ["ab", -2.0], ["ba", -9.0], ["ac", -1.0]],
}


@pytest.mark.parametrize(
    ("kind", "model", "required"),
    [
        ("WordPiece", WORDPIECE, {"?", "a", "##b", "ac"}),  # `##c` is no piece, so nothing else reads `ac`
        ("BPE", BPE, {"a", "b", "c"}),
        ("Unigram", UNIGRAM, {"?", "a", "b", "ba", "ac"}),  # `ba` has the lowest score
    ],
)
def test_what_no_text_may_be_left_without(kind: str, model: dict[str, Any], required: set[str]) -> None:
    assert PIECE_MODELS[kind].required(model) == required


def test_symbols_of_a_bpe_with_marks_of_places() -> None:
    """`##` marks what is inside of a word, `</w>` what ends it."""
    vocabulary = ["a", "##b", "##b</w>", "b</w>", "a##b", "ab</w>", "##bb</w>", "##c</w>d"]
    model = {
        **BPE,
        "unk_token": "a",
        "continuing_subword_prefix": "##",
        "end_of_word_suffix": "</w>",
        "vocab": {piece: index for index, piece in enumerate(vocabulary)},
        "merges": [["a", "##b</w>"], ["##b", "##b</w>"]],
    }
    required = PIECE_MODELS["BPE"].required(model)
    assert {"a", "##b", "##b</w>", "b</w>"} <= required
    assert not {"ab</w>", "##bb</w>"} & required
    assert PIECE_MODELS["BPE"].parts(model) == {"ab</w>": {"a", "##b</w>"}, "##bb</w>": {"##b", "##b</w>"}}


def test_a_piece_that_several_merges_make_needs_the_parts_of_all() -> None:
    assert PIECE_MODELS["BPE"].parts(BPE)["abc"] == {"ab", "c", "a", "bc"}


@pytest.mark.parametrize(
    ("kept", "merges"),
    [
        ("a b c ab", [["a", "b"]]),
        ("a b c abc", []),  # its parts are gone
        ("a b c bc abc", [["b", "c"], ["a", "bc"]]),
        ("a b ab", [["a", "b"]]),
    ],
)
def test_merges_go_with_their_parts_and_their_result(kept: str, merges: list[list[str]]) -> None:
    ids = {piece: index for index, piece in enumerate(kept.split())}
    assert PIECE_MODELS["BPE"].cut(BPE, ids) == {**BPE, "vocab": ids, "merges": merges}


def test_scores_and_the_unknown_piece_move_in_a_unigram() -> None:
    ids = {"b": 0, "?": 1, "ab": 2}
    assert PIECE_MODELS["Unigram"].cut(UNIGRAM, ids) == {
        **UNIGRAM,
        "unk_id": 1,
        "vocab": [["b", -3.0], ["?", 0.0], ["ab", -2.0]],
    }


TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1, 5], "tokens": ["a", "ac"]}},
}
ROBERTA = {"type": "RobertaProcessing", "sep": ["ac", 5], "cls": ["a", 1], "trim_offsets": True}


def test_all_ids_of_a_file_move() -> None:
    values = {
        "model": {"type": "WordPiece", **WORDPIECE},
        "added_tokens": [{"id": 0, "content": "?"}, {"id": 9, "content": "[X]", "special": True}],
        "post_processor": {"type": "Sequence", "processors": [TEMPLATE, ROBERTA]},
        "padding": {"pad_id": 2, "pad_token": "##b"},
        "normalizer": {"type": "Lowercase"},
    }
    assert special_ids(values) == {0, 1, 2, 5, 9}
    ids = {0: 0, 1: 1, 2: 2, 5: 3, 9: 4}
    assert cut_file(values, ids) == {
        "model": {"type": "WordPiece", **WORDPIECE, "vocab": {"?": 0, "a": 1, "##b": 2, "ac": 3}},
        "added_tokens": [{"id": 0, "content": "?"}, {"id": 4, "content": "[X]", "special": True}],
        "post_processor": {
            "type": "Sequence",
            "processors": [
                {**TEMPLATE, "special_tokens": {"<s>": {"id": "<s>", "ids": [1, 3], "tokens": ["a", "ac"]}}},
                {**ROBERTA, "sep": ["ac", 3]},
            ],
        },
        "padding": {"pad_id": 2, "pad_token": "##b"},
        "normalizer": {"type": "Lowercase"},
    }


def test_a_file_without_padding_and_special_tokens() -> None:
    values: dict[str, Any] = {
        "model": {"type": "BPE", **BPE},
        "added_tokens": [],
        "post_processor": None,
        "padding": None,
    }
    assert special_ids(values) == set()
    assert cut_file(values, {0: 0, 1: 1, 2: 2})["post_processor"] is None


@pytest.mark.parametrize(("missing", "stays"), [(0, False), (1, True)])
def test_a_piece_needs_its_characters_unless_all_bytes_are_there(missing: int, stays: bool) -> None:
    every = [f"<0x{byte:02X}>" for byte in range(256 - missing)]
    model = {**UNIGRAM, "byte_fallback": True, "vocab": [["?", 0.0], *([one, -9.0] for one in every), ["éé", -1.0]]}
    required = PIECE_MODELS["Unigram"].required(model)
    assert {*every, "?"} <= required
    assert ("éé" in required) is stays

"""The kinds of tokenizers whose vocabulary can be cut: what each needs of it, and its tokenizer.json without the rest.

A text is cut into words, and words into pieces, by the `model` of a tokenizer.json: WordPiece, BPE or Unigram. Values
here are those that `tokenizers` writes and reads; nothing of what they do with a text is done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aebert.registry import Registry

Model = Mapping[str, Any]
"""The `model` of a tokenizer.json."""

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class PieceModel:
    """How the vocabulary of one kind of tokenizer is cut.

    pieces: all pieces with their ids.
    required: pieces without which a text that has no unknown piece now might get one.
    parts: of a piece, those that must be kept with it, since it is made of them; none where pieces are looked up whole.
    cut: the same model with nothing but the pieces of the second argument, by their new ids.
    """

    pieces: Callable[[Model], dict[str, int]]
    required: Callable[[Model], set[str]]
    parts: Callable[[Model], Mapping[str, set[str]]]
    cut: Callable[[Model, Mapping[str, int]], dict[str, Any]]


PIECE_MODELS: Registry[PieceModel] = Registry("kind of tokenizer")


def _required(pieces: Mapping[str, int], symbols: Callable[[str], list[str]]) -> set[str]:
    """Single symbols, and pieces that can't be read in single symbols because one of these is no piece."""
    found = {piece: symbols(piece) for piece in pieces}
    return {piece for piece, read in found.items() if len(read) == 1 or not all(one in pieces for one in read)}


# --- WordPiece: the longest piece that a word begins with, again and again --------------------------------------------


def _wordpiece_required(model: Model) -> set[str]:
    pieces, prefix = model["vocab"], model["continuing_subword_prefix"]

    def symbols(piece: str) -> list[str]:
        inside = piece.startswith(prefix) and len(piece) > len(prefix)
        first, *rest = list(piece.removeprefix(prefix) if inside else piece or " ")
        return [prefix + first if inside else first, *(prefix + one for one in rest)]

    return {model["unk_token"], *_required(pieces, symbols)}


PIECE_MODELS.add(
    "WordPiece",
    PieceModel(
        pieces=lambda model: dict(model["vocab"]),
        required=_wordpiece_required,
        parts=lambda model: {},
        cut=lambda model, ids: {**model, "vocab": dict(ids)},
    ),
)


# --- BPE: neighbours are merged, in the order of the merges -----------------------------------------------------------


def _merges(model: Model) -> Iterator[tuple[str, str, str]]:
    """Yield both parts of each merge and the piece that they make, in the order in which merges are tried."""
    prefix = model["continuing_subword_prefix"] or ""
    for left, right in model["merges"]:
        yield left, right, left + right.removeprefix(prefix)


def _bpe_required(model: Model) -> set[str]:
    pieces, prefix = model["vocab"], model["continuing_subword_prefix"] or ""
    ending = model["end_of_word_suffix"] or ""

    def symbols(piece: str) -> list[str]:
        inside = bool(prefix) and piece.startswith(prefix) and len(piece) > len(prefix)
        last = ending if ending and piece.endswith(ending) and len(piece) > len(ending) else ""
        inner = (piece.removeprefix(prefix) if inside else piece).removesuffix(last)
        read = [(prefix if inside or place else "") + one for place, one in enumerate(inner)]
        return [*read[:-1], read[-1] + last] if read else [piece]

    unknown = {model["unk_token"]} if model["unk_token"] else set()
    return unknown | _required_or_bytes(model, pieces, symbols)


def _required_or_bytes(model: Model, pieces: Mapping[str, int], symbols: Callable[[str], list[str]]) -> set[str]:
    """The same; where unknown characters are read as bytes, these, and no piece for the sake of its characters."""
    if not model["byte_fallback"]:
        return _required(pieces, symbols)
    bytes_ = {piece for piece in pieces if _BYTE.fullmatch(piece)}
    if len(bytes_) < 256:  # a character with a byte that is missing is unknown
        return bytes_ | _required(pieces, symbols)
    return bytes_ | {piece for piece in pieces if len(symbols(piece)) == 1}


def _bpe_parts(model: Model) -> dict[str, set[str]]:
    # of all merges that make a piece: which of them a word takes depends on its neighbours
    parts: dict[str, set[str]] = {}
    for left, right, made in _merges(model):
        parts.setdefault(made, set()).update((left, right))
    return parts


def _bpe_cut(model: Model, ids: Mapping[str, int]) -> dict[str, Any]:
    merges = [[left, right] for left, right, made in _merges(model) if {left, right, made} <= ids.keys()]
    return {**model, "vocab": dict(ids), "merges": merges}


PIECE_MODELS.add(
    "BPE",
    PieceModel(
        pieces=lambda model: dict(model["vocab"]),
        required=_bpe_required,
        parts=_bpe_parts,
        cut=_bpe_cut,
    ),
)


# --- Unigram: the pieces whose scores have the largest sum ------------------------------------------------------------


def _unigram_pieces(model: Model) -> dict[str, int]:
    return {piece: place for place, (piece, _) in enumerate(model["vocab"])}


def _unigram_required(model: Model) -> set[str]:
    # what an unknown character costs is counted from the lowest score
    lowest = min(model["vocab"], key=lambda scored: scored[1])[0]
    unknown = set() if model["unk_id"] is None else {model["vocab"][model["unk_id"]][0]}
    return {lowest} | unknown | _required_or_bytes(model, _unigram_pieces(model), list)


def _unigram_cut(model: Model, ids: Mapping[str, int]) -> dict[str, Any]:
    scores, unknown = dict(model["vocab"]), model["unk_id"]
    return {
        **model,
        "vocab": [[piece, scores[piece]] for piece in sorted(ids, key=lambda piece: ids[piece])],
        "unk_id": None if unknown is None else ids[model["vocab"][unknown][0]],
    }


PIECE_MODELS.add(
    "Unigram",
    PieceModel(
        pieces=_unigram_pieces,
        required=_unigram_required,
        parts=lambda model: {},
        cut=_unigram_cut,
    ),
)


# --- the rest of a tokenizer.json -------------------------------------------------------------------------------------


def cut_file(values: Mapping[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    """The values of a tokenizer.json whose pieces are those of the keys of `ids` (old id → new id)."""
    of = PIECE_MODELS[values["model"]["type"]]
    kept = {piece: ids[old] for piece, old in of.pieces(values["model"]).items() if old in ids}
    return {
        **values,
        "model": of.cut(values["model"], kept),
        "added_tokens": [{**token, "id": ids[token["id"]]} for token in values["added_tokens"]],
        "post_processor": _renumbered(values["post_processor"], ids),
        "padding": values["padding"] and {**values["padding"], "pad_id": ids[values["padding"]["pad_id"]]},
    }


def _renumbered(processor: Mapping[str, Any] | None, ids: Mapping[int, int]) -> dict[str, Any] | None:
    """What puts special tokens around a text, with their new ids."""
    if processor is None:
        return None
    values = dict(processor)
    for name in ("sep", "cls"):  # of BertProcessing and RobertaProcessing
        if name in values:
            values[name] = [values[name][0], ids[values[name][1]]]
    if values["type"] == "TemplateProcessing":
        values["special_tokens"] = {
            name: {**token, "ids": [ids[one] for one in token["ids"]]}
            for name, token in values["special_tokens"].items()
        }
    if values["type"] == "Sequence":
        values["processors"] = [_renumbered(one, ids) for one in values["processors"]]
    return values


def special_ids(values: Mapping[str, Any]) -> set[int]:
    """Ids that a tokenizer.json names outside of its model: of added tokens, around a text, and of padding."""
    found = {token["id"] for token in values["added_tokens"]} | set(_processor_ids(values["post_processor"]))
    return found | ({values["padding"]["pad_id"]} if values["padding"] else set())


def _processor_ids(processor: Mapping[str, Any] | None) -> Iterator[int]:
    for name in ("sep", "cls"):
        if processor and name in processor:
            yield processor[name][1]
    for token in (processor or {}).get("special_tokens", {}).values():
        yield from token["ids"]
    for one in (processor or {}).get("processors", ()):
        yield from _processor_ids(one)

"""A model with a smaller vocabulary: which pieces stay, and the tokenizer and the embeddings without the others."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import VocabularyConfig
from aebert.errors import ConfigError, ModelError
from aebert.models.families import family_of
from aebert.models.vocabulary import (
    check_own_file,
    check_reload,
    check_special,
    check_vocabulary,
    load_tokenizer,
    stored_vocabulary,
)
from aebert.pruning.pieces import PIECE_MODELS, cut_file, special_ids
from aebert.tasks.task import TaskSpec

_KEY = "pruning.vocabulary"
_TOKENIZER = "tokenizer.json"


def choose_pieces(
    tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, counts: Mapping[int, int], limit: VocabularyConfig
) -> tuple[int, ...]:
    """Ids of the pieces to keep, ascending: those that are required, then the most frequent that there is room for.

    Of pieces as frequent as each other, the one with the lower id is first. A piece that is made of others (BPE) takes
    room for these too.

    config: of the model, whose special ids are required. counts: how often texts use each piece, by its id.

    Raises: ConfigError for a kind of tokenizer that can't be cut, or a limit below what is required.
    """
    values = _values(tokenizer)
    kind = values["model"]["type"]
    if kind not in PIECE_MODELS:
        raise ConfigError(f"{_KEY} needs a tokenizer of {', '.join(PIECE_MODELS)}, got {kind}; leave it out")
    of, model = PIECE_MODELS[kind], values["model"]
    ids = of.pieces(model)
    names = {index: piece for piece, index in ids.items()}
    parts = {ids[piece]: {ids[one] for one in made} for piece, made in of.parts(model).items()}
    kept = {ids[piece] for piece in of.required(model)} | special_ids(values) | _config_ids(config, names)
    kept = _closed(kept, parts)
    most = _limit(limit, len(kept), len(names.keys() | kept))
    for index in sorted((index for index in counts if counts[index]), key=lambda index: (-counts[index], index)):
        more = _closed({index}, parts) - kept
        if len(kept) + len(more) <= most:
            kept |= more
    return tuple(sorted(kept))


def _values(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return values


def _closed(pieces: Iterable[int], parts: Mapping[int, set[int]]) -> set[int]:
    """The pieces, and all that they are made of."""
    found: set[int] = set()
    left = list(pieces)
    while left:
        piece = left.pop()
        if piece not in found:
            found.add(piece)
            left.extend(parts.get(piece, ()))
    return found


def _config_ids(config: PretrainedConfig, pieces: Iterable[int]) -> set[int]:
    """Pieces that the model's config names; with those up to padding where positions are counted from its id."""
    found = {index for named in _named(config).values() for index in named} & set(pieces)
    if family_of(config).positions_after_padding:  # its id must stay what it is
        found |= set(range(config.pad_token_id))
    return found


def _named(config: PretrainedConfig) -> dict[str, list[int]]:
    """Ids of special tokens in a model's config, by key; some keys take several."""
    stated = {key: value for key, value in config.to_dict().items() if key.endswith("token_id") and value is not None}
    return {key: value if isinstance(value, list) else [value] for key, value in stated.items()}


def _limit(limit: VocabularyConfig, least: int, total: int) -> float:
    """The most pieces that may be kept. Raises: ConfigError where fewer are allowed than are required."""
    if limit.keep is None and limit.share is None:
        return math.inf
    if limit.keep is not None:
        most, given, got = limit.keep, f"{_KEY}.keep", f"{limit.keep:,}"
        smallest = f"{least:,}"
    else:
        assert limit.share is not None
        most, given, got = math.floor(total * Fraction(str(limit.share))), f"{_KEY}.share", f"{limit.share}"
        smallest = f"{math.ceil(10_000 * Fraction(least, total)) / 10_000} ({least:,} of {total:,} pieces)"
    if most < least:
        raise ConfigError(
            f"{given} must be at least {smallest}, the special tokens and the characters or bytes that words can be "
            f"read in, got {got}; raise it, or leave it out to keep all pieces that are used"
        )
    return most


def cut_tokenizer(
    tokenizer: PreTrainedTokenizerBase, kept: Sequence[int], config: PretrainedConfig, spec: TaskSpec
) -> PreTrainedTokenizerBase:
    """The tokenizer with the kept pieces alone, whose new ids are their places in `kept`.

    config: of the model with as many embeddings.

    Raises: ModelError when it would not be the same tokenizer once it is saved and loaded.
    """
    ids = {old: new for new, old in enumerate(kept)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tokenizer.save_pretrained(folder)
        config.save_pretrained(folder)
        values = json.loads((folder / _TOKENIZER).read_text(encoding="utf-8"))
        (folder / _TOKENIZER).write_text(json.dumps(cut_file(values, ids), ensure_ascii=False), encoding="utf-8")
        small = load_tokenizer(folder, config, spec)
        check_vocabulary(small, stored_vocabulary(folder), len(kept))
        check_own_file(folder, config)
    check_special(small, config)
    check_reload(small, config, spec)
    return small


def cut_embeddings(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """A copy of the model with the embeddings of the kept pieces alone, in their order; ids in its config are new ones.

    The model itself is not changed.
    """
    whole = model.get_input_embeddings().weight
    rows = torch.nn.Parameter(whole.detach()[list(kept)].clone(), requires_grad=whole.requires_grad)
    small: Any = copy.deepcopy(model, {id(whole): rows})  # without a copy of the whole table
    table = small.get_input_embeddings()
    table.num_embeddings = len(kept)
    ids = {old: new for new, old in enumerate(kept)}
    for key, named in _named(model.config).items():
        moved = [ids.get(old, old) for old in named]  # an id beyond the vocabulary stands for nothing as it is
        setattr(small.config, key, moved if isinstance(getattr(model.config, key), list) else moved[0])
    table.padding_idx = small.config.pad_token_id
    small.config.vocab_size = len(kept)
    return small.eval()


def check_same_reading(
    texts: str, before: Sequence[Sequence[int]], after: Sequence[Sequence[int]], kept: Sequence[int]
) -> None:
    """Raise ModelError unless all texts whose pieces are kept have the ids that they had, by their new numbers.

    texts: what they are of, for the message. before, after: ids of each text by both tokenizers.
    """
    ids = {old: new for new, old in enumerate(kept)}
    for place, (whole, small) in enumerate(zip(before, after, strict=True)):
        if all(index in ids for index in whole) and [ids[index] for index in whole] != list(small):
            raise ModelError(
                f"a text whose pieces are all kept must be read as before, text {place} of {texts} is not; this "
                f"tokenizer can't be cut, leave {_KEY} out"
            )

"""The tokenizer of a checkpoint: whether it is the one that its files describe, and whether it fits the model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from aebert.errors import ModelError
from aebert.tasks.task import TaskSpec

_SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token")
# Parts of tokenizer.json, and keys of theirs, that keys of tokenizer_config.json replace.
_OVERRIDDEN = (
    (
        "normalizer",
        "BertNormalizer",
        {
            "lowercase": "do_lower_case",
            "strip_accents": "strip_accents",
            "handle_chinese_chars": "tokenize_chinese_chars",
        },
    ),
    ("pre_tokenizer", "ByteLevel", {"add_prefix_space": "add_prefix_space"}),
)
_CASED_SHARE = 0.02  # of the pieces with letters: uncased vocabularies have hardly a capital, cased ones have a third
_PROBES = (
    "The quick brown fox, aged 3.14, jumps over 1,000 lazy dogs!",
    "the QUICK Brown fOX isn't naïve: café – “déjà vu” (5 %); e-mail someone@example.org",
    "U.S. COVID-19 α-synuclein µg/ml 日本語 한국어 🙂 ＡＢＣ ́x Ünïcödé",
    "  blanks   and\u00a0more\tblanks ",
)


def stored_vocabulary(folder: Path) -> dict[str, int]:
    """Pieces and their ids as a folder's files list them, special tokens included.

    Raises: ModelError when there is no such file, or two that contradict each other.
    """
    listed = dict(_listings(folder))
    if not listed:
        raise ModelError(
            "the folder must hold the tokenizer (tokenizer.json, vocab.txt, or vocab.json and merges.txt), it has no "
            "vocabulary; save it there with tokenizer.save_pretrained(folder)"
        )
    (first, pieces), *others = listed.items()
    for name, other in others:
        if piece := next((one for one in {**pieces, **other} if pieces.get(one) != other.get(one)), None):
            raise ModelError(
                f"{first} and {name} must list the same vocabulary, they differ in {piece!r} ({pieces.get(piece)} and "
                f"{other.get(piece)}); remove the file that is not your model's"
            )
    return pieces | dict(_added(folder))


def _listings(folder: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the name of each file that lists a vocabulary, and what it lists."""
    if (folder / "tokenizer.json").is_file():
        vocabulary = _json(folder / "tokenizer.json").get("model", {}).get("vocab", {})
        if isinstance(vocabulary, list):  # pieces with their scores
            vocabulary = {piece: index for index, (piece, *_) in enumerate(vocabulary)}
        yield "tokenizer.json", vocabulary
    if (folder / "vocab.txt").is_file():
        lines = _text(folder / "vocab.txt").split("\n")
        yield (
            "vocab.txt",
            {line.rstrip("\r"): index for index, line in enumerate(lines) if index < len(lines) - 1 or line},
        )
    if (folder / "vocab.json").is_file():
        if not (folder / "tokenizer.json").is_file() and not (folder / "merges.txt").is_file():
            raise ModelError("vocab.json must have merges.txt beside it, which is missing; copy it there")
        yield "vocab.json", _json(folder / "vocab.json")


def _added(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield tokens that were added to the vocabulary, with their ids."""
    if (folder / "tokenizer.json").is_file():
        for token in _json(folder / "tokenizer.json").get("added_tokens", []):
            yield token["content"], token["id"]
    if (folder / "added_tokens.json").is_file():
        yield from _json(folder / "added_tokens.json").items()
    for index, token in tokenizer_settings(folder).get("added_tokens_decoder", {}).items():
        yield token["content"], int(index)


def tokenizer_settings(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json states; nothing when there is none."""
    path = folder / "tokenizer_config.json"
    return _json(path) if path.is_file() else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_text(path))
    except ValueError as error:
        raise ModelError(f"{path.name} must be JSON: {error}; copy it again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path.name} must be a table, got {type(values).__name__}; copy it again")
    return values


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path.name} must be UTF-8 text, byte {error.start} is not; copy it again") from None
    if not text.strip():
        raise ModelError(f"{path.name} must not be empty, it is; copy it again")
    if text.startswith("version https://git-lfs"):
        raise ModelError(f"{path.name} is a pointer of git-lfs, not the file; run `git lfs pull` in its folder")
    return text


def load_tokenizer(folder: Path, config: PretrainedConfig, spec: TaskSpec) -> PreTrainedTokenizerBase:
    """Load a folder's tokenizer as transformers does; RoBERTa's for NER reads words one by one.

    Raises: ModelError, one line, when it can't be loaded.
    """
    spaces = {"add_prefix_space": True} if spec.kind == "ner" and config.model_type == "roberta" else {}
    try:
        return AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=False, **spaces)
    except Exception as error:  # tokenizers raises bare exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the tokenizer can't be loaded: {reason}; save it again with save_pretrained") from error


def check_files(folder: Path) -> None:
    """Raise where the tokenizer's settings ask for what isn't done here."""
    settings = tokenizer_settings(folder)
    if settings.get("auto_map"):
        raise ModelError("tokenizer_config.json must not name code of its own (auto_map), which aebert doesn't run")
    if settings.get("truncation_side", "right") != "right":
        raise ModelError(
            f"truncation_side must be right, as bundles cut texts there, got {settings['truncation_side']}; correct "
            "tokenizer_config.json if the model was trained so"
        )


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, stored: Mapping[str, int], rows: int) -> None:
    """Raise unless the tokenizer has the vocabulary of its files, with every id a row of the embeddings."""
    if not tokenizer.is_fast:
        name = type(tokenizer).__name__
        raise ModelError(f"the tokenizer must be a fast one (with a tokenizer.json), as bundles need, got {name}")
    loaded = tokenizer.get_vocab()
    for piece in (*stored, *loaded):
        if stored.get(piece) != loaded.get(piece):
            raise ModelError(
                f"the tokenizer must have the vocabulary of its files, transformers gives {piece!r} the id "
                f"{loaded.get(piece)}, the files {stored.get(piece)}; name its right tokenizer_class in "
                "tokenizer_config.json, or save it again with save_pretrained"
            )
    piece, largest = max(loaded.items(), key=lambda item: item[1])
    if largest >= rows:
        raise ModelError(
            f"ids of the tokenizer must be below {rows}, the rows of the model's embeddings, {piece!r} has {largest}; "
            "copy the tokenizer that belongs to the model"
        )


def check_special(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> None:
    """Raise unless texts are put between the special tokens, and padding is the one that the model expects."""
    for name in _SPECIAL:
        if getattr(tokenizer, name) is None:
            raise ModelError(f"the tokenizer must have a {name}, it has none; name it in tokenizer_config.json")
    if config.pad_token_id is not None and config.pad_token_id != tokenizer.pad_token_id:
        raise ModelError(
            f"pad_token_id of config.json must be the tokenizer's id of {tokenizer.pad_token}, "
            f"{tokenizer.pad_token_id}, got {config.pad_token_id}; copy the tokenizer that belongs to the model"
        )
    ids = tokenizer("a", "b")["input_ids"]
    if ids[0] != tokenizer.cls_token_id or ids[-1] != tokenizer.sep_token_id or ids.count(ids[-1]) < 2:
        pieces = " ".join(tokenizer.convert_ids_to_tokens(ids))
        ends = f"{tokenizer.cls_token} … {tokenizer.sep_token} … {tokenizer.sep_token}"
        raise ModelError(f"the tokenizer must make {ends} of two texts, it makes {pieces}; correct its tokenizer_class")


def is_cased(pieces: Sequence[str]) -> bool | None:
    """Whether a vocabulary tells capitals from small letters; None when most of its pieces have neither."""
    words = [piece for piece in pieces if piece.upper() != piece.lower() and not _is_special(piece)]
    if len(words) < len(pieces) / 2:
        return None
    return sum(piece != piece.lower() for piece in words) > _CASED_SHARE * len(words)


def _is_special(piece: str) -> bool:
    return piece[:1] + piece[-1:] in ("[]", "<>")


def lowercases(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer makes the same of capitals as of small letters, tried on words of its vocabulary."""
    words = list(islice((piece for piece in tokenizer.get_vocab() if piece.isalpha() and piece.islower()), 50))
    return all(tokenizer.tokenize(word.upper()) == tokenizer.tokenize(word) for word in words) if words else False


def check_casing(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise when capitals can't be read as the vocabulary writes them."""
    cased, lowers = is_cased(list(tokenizer.get_vocab())), lowercases(tokenizer)
    if cased and lowers:
        raise ModelError(
            "the tokenizer must keep capitals, as its vocabulary has them, it makes small letters of all; set "
            "do_lower_case to false in tokenizer_config.json"
        )
    if cased is False and not lowers:
        raise ModelError(
            "the tokenizer must make small letters of capitals, as its vocabulary has none, it doesn't; set "
            "do_lower_case to true in tokenizer_config.json"
        )


def check_reload(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, spec: TaskSpec) -> None:
    """Raise unless the tokenizer gives the same ids once it is saved and loaded, as a run does."""
    with tempfile.TemporaryDirectory() as place:
        tokenizer.save_pretrained(place)
        config.save_pretrained(place)
        again = load_tokenizer(Path(place), config, spec)
    for probe in _PROBES:
        before, after = (
            one.convert_ids_to_tokens(one(probe, verbose=False)["input_ids"]) for one in (tokenizer, again)
        )
        if before != after:
            raise ModelError(
                f"the tokenizer must give the same ids once it is saved and loaded, it doesn't for {probe!r}: "
                f"{_first_difference(before, after)}; save it again with the transformers that aebert uses"
            )


def check_own_file(folder: Path, config: PretrainedConfig) -> None:
    """Raise unless transformers reads the tokenizer as its tokenizer.json describes it.

    Classes of transformers 5 take the vocabulary alone from that file and make the rest themselves.
    """
    if not (folder / "tokenizer.json").is_file():
        return
    own, loaded = _own_tokenizer(folder), AutoTokenizer.from_pretrained(folder, config=config, trust_remote_code=False)
    for probe in _PROBES:
        theirs = [str(own.id_to_token(index)) for index in own.encode(probe).ids]
        mine = loaded.convert_ids_to_tokens(loaded(probe, verbose=False)["input_ids"])
        if theirs != mine:
            raise ModelError(
                f"the tokenizer must be as tokenizer.json describes it, transformers {transformers.__version__} reads "
                f"{probe!r} otherwise ({_first_difference(theirs, mine)}); name its right tokenizer_class and "
                "do_lower_case in tokenizer_config.json"
            )


def _own_tokenizer(folder: Path) -> Tokenizer:
    """What tokenizer.json describes, with the settings of tokenizer_config.json that stand above it."""
    values, settings = _json(folder / "tokenizer.json"), tokenizer_settings(folder)
    for part, kind, keys in _OVERRIDDEN:
        for key, setting in keys.items():
            if (values.get(part) or {}).get("type") == kind and setting in settings:
                values[part][key] = settings[setting]
    own = Tokenizer.from_str(json.dumps(values))
    own.no_padding()
    own.no_truncation()
    return own


def _first_difference(theirs: Sequence[str], mine: Sequence[str]) -> str:
    pairs = enumerate(zip(theirs, mine, strict=False))
    place = next((at for at, (one, other) in pairs if one != other), min(len(theirs), len(mine)))
    return f"{' '.join(theirs[place : place + 3])!r} and {' '.join(mine[place : place + 3])!r}"

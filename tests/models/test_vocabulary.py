from __future__ import annotations

import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import Lowercase, Replace
from tokenizers.pre_tokenizers import Metaspace
from transformers import BertTokenizerFast, PreTrainedTokenizerFast

from aebert.errors import ModelError
from aebert.models.vocabulary import (
    check_casing,
    check_own_file,
    check_reload,
    is_cased,
    lowercases,
    stored_vocabulary,
)

from .checkpoints import SPECS, make_config

DATA = os.environ.get("AEBERT_DATA")


@pytest.mark.parametrize(
    ("pieces", "cased"),
    [
        (["[PAD]", "[UNK]", "the", "film", "##s"], False),
        (["<s>", "<PAD>", "the", "film"], False),  # names of special tokens are no words
        (["[PAD]", "the", "Film", "##s"], True),
        (["[PAD]", "日", "本", "語", "the"], None),
        (["[PAD]", "1", "2", "3", "."], None),
        ([*(f"word{'x' * index}" for index in range(99)), "Once"], False),  # a slip of whoever made it
    ],
)
def test_a_vocabulary_is_cased_if_it_has_capitals(pieces: list[str], cased: bool | None) -> None:
    assert is_cased(pieces) is cased


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="needs AEBERT_DATA")
@pytest.mark.parametrize("cased", [True, False])
def test_the_published_vocabularies_are_told_apart(cased: bool, tmp_path: Path) -> None:
    name = f"bert-base-{'cased' if cased else 'uncased'}-vocab.txt"
    (tmp_path / "vocab.txt").write_text(
        (Path(str(DATA)) / "vocab" / name).read_text(encoding="utf-8"), encoding="utf-8"
    )
    pieces = stored_vocabulary(tmp_path)
    assert is_cased(list(pieces)) is cased
    for keeps in (True, False):
        tokenizer = BertTokenizerFast(vocab=pieces, do_lower_case=not keeps)
        assert lowercases(tokenizer) is not keeps
        if keeps == cased:
            check_casing(tokenizer)
        else:
            with pytest.raises(ModelError, match="set do_lower_case to"):
                check_casing(tokenizer)


def test_a_tokenizer_that_is_another_one_once_it_is_loaded_is_refused() -> None:
    """A class of transformers makes its own normalizer, whatever the tokenizer in memory had."""
    tokenizer = BertTokenizerFast(
        vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "the": 5, "th": 6}
    )
    config = make_config("bert")
    check_reload(tokenizer, config, SPECS["classification"])
    tokenizer.backend_tokenizer.normalizer = Replace("the", "th")
    with pytest.raises(ModelError, match=r"must give the same ids once it is saved and loaded, it doesn"):
        check_reload(tokenizer, config, SPECS["classification"])


def test_characters_that_a_tokenizer_does_not_know_are_read_as_its_file_says(tmp_path: Path) -> None:
    """Of unknown characters, `tokenizers` gives the text as token, transformers the unknown token."""
    special = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]
    scored = [*((token, 0.0) for token in special), ("▁", -2.0), ("the", -1.0), *((one, -3.0) for one in "the")]
    backend = Tokenizer(Unigram(scored, 0))
    backend.pre_tokenizer = Metaspace()
    names = zip(("unk", "cls", "sep", "pad", "mask"), special, strict=True)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **{f"{name}_token": one for name, one in names})
    tokenizer.save_pretrained(tmp_path)
    config = make_config("bert")
    config.save_pretrained(tmp_path)
    check_own_file(tmp_path, config)


def test_lowercasing_is_seen_by_what_the_tokenizer_does(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    assert lowercases(tiny_tokenizer)
    vocabulary = {piece: index for index, piece in enumerate(["[UNK]", "film", "good"])}
    plain = BertTokenizerFast(vocab=vocabulary, do_lower_case=False)
    assert not lowercases(plain)
    plain.backend_tokenizer.normalizer = Lowercase()
    assert lowercases(plain)


def test_a_vocabulary_of_lines(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("\ufeff[PAD]\r\nthe\r\n\r\nfilm".encode())
    assert stored_vocabulary(tmp_path) == {"[PAD]": 0, "the": 1, "": 2, "film": 3}


def test_a_vocabulary_with_added_tokens(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\nthe\n")
    (tmp_path / "added_tokens.json").write_text('{"covid": 2}')
    (tmp_path / "tokenizer_config.json").write_text('{"added_tokens_decoder": {"3": {"content": "omicron"}}}')
    assert stored_vocabulary(tmp_path) == {"[PAD]": 0, "the": 1, "covid": 2, "omicron": 3}

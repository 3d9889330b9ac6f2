from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertTokenizerFast,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaTokenizerFast,
)

from aebert.config import VocabularyConfig
from aebert.errors import ConfigError, ModelError
from aebert.models.families import FAMILIES
from aebert.pruning.pieces import PIECE_MODELS
from aebert.pruning.vocabulary import check_same_reading, choose_pieces, cut_embeddings, cut_tokenizer

from ..conftest import TinyModel
from ..models.checkpoints import SPECS

CORPUS = [
    *("the film was good and the ending was better than the plot", "a story of stories, and storytelling itself"),
    *("good films end well; better endings end better", "the cast is casting castles of sand in the sandstorm"),
]
SPEC = SPECS["classification"]
KINDS = tuple(PIECE_MODELS)
ALL = VocabularyConfig()


@cache
def trained(kind: str) -> PreTrainedTokenizerBase:
    """A real tokenizer of a kind, trained on the corpus by the library's own trainer."""
    if kind == "WordPiece":
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        made.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=110, special_tokens=special))
        return BertTokenizerFast(vocab=made.get_vocab(), model_max_length=64)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if kind == "BPE":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet)
        made.train_from_iterator(CORPUS, trainer)
        values = _values(made)["model"]
        merges = [tuple(one) for one in values["merges"]]
        return RobertaTokenizerFast(vocab=values["vocab"], merges=merges, model_max_length=64)
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="<unk>"))
    pair = [("<s>", made.token_to_id("<s>")), ("</s>", made.token_to_id("</s>"))]
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", pair)
    names = dict(zip(("cls", "pad", "sep", "unk", "mask"), special, strict=True))
    named = {f"{name}_token": token for name, token in names.items()}
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=64, **named)


def _values(tokenizer: Tokenizer) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(tokenizer.to_str())
    return values


def config_of(kind: str) -> BertConfig | RobertaConfig:
    tokenizer = trained(kind)
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, "max_position_embeddings": 70}
    return RobertaConfig(**sizes) if kind == "BPE" else BertConfig(**sizes)


def counts(kind: str, texts: Sequence[str]) -> Counter[int]:
    return Counter(index for text in texts for index in trained(kind)(text, add_special_tokens=False)["input_ids"])


@cache
def cut(kind: str, texts: tuple[str, ...], limit: VocabularyConfig = ALL) -> tuple[Any, tuple[int, ...]]:
    kept = choose_pieces(trained(kind), config_of(kind), counts(kind, texts), limit)
    return cut_tokenizer(trained(kind), kept, _cut_config(kind, kept), SPEC), kept


def _cut_config(kind: str, kept: Sequence[int]) -> Any:
    config = config_of(kind)
    config.vocab_size, config.pad_token_id = len(kept), kept.index(config.pad_token_id)
    return config


def names(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    found: list[str] = tokenizer.convert_ids_to_tokens(ids)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_texts_use_stays_and_is_read_as_before(kind: str) -> None:
    small, kept = cut(kind, (CORPUS[0], CORPUS[2]))
    whole = trained(kind)
    assert len(small) == len(kept) < len(whole)
    assert names(whole, kept) == names(small, range(len(small)))
    for text in (CORPUS[0], CORPUS[2], f"{CORPUS[2]} {CORPUS[0]}"):
        before, after = whole(text, CORPUS[0])["input_ids"], small(text, CORPUS[0])["input_ids"]
        assert [kept[index] for index in after] == before


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_text_of_kept_pieces_is_read_as_before_and_no_text_becomes_unknown(kind: str, data: st.DataObject) -> None:
    texts = tuple(data.draw(st.lists(st.sampled_from(CORPUS), max_size=2, unique=True)))
    whole, least = trained(kind), len(cut(kind, ())[1])
    keep = data.draw(st.none() | st.integers(least, least + 30))
    small, kept = cut(kind, texts, VocabularyConfig(keep=keep))
    words = st.sampled_from(" ".join(CORPUS).split()) | st.text("abdeghilnorstw,é ", max_size=9)
    text = " ".join(data.draw(st.lists(words, max_size=5)))
    before, after = whole(text)["input_ids"], small(text)["input_ids"]
    if set(before) <= set(kept):
        assert [kept[index] for index in after] == before
    assert before.count(whole.unk_token_id) >= after.count(small.unk_token_id)
    if whole.unk_token_id not in before:
        joined = ["".join(names(one, ids)).replace("##", "") for one, ids in ((whole, before), (small, after))]
        assert joined[0] == joined[1]


def test_words_fall_apart_into_what_is_kept() -> None:
    small, _ = cut("WordPiece", ("film",), VocabularyConfig())
    assert small.tokenize("film") == trained("WordPiece").tokenize("film") == ["film"]
    assert len(trained("WordPiece").tokenize("better")) < len("better")
    assert small.tokenize("better") == ["b", *(f"##{one}" for one in "etter")]


def test_merges_without_their_parts_or_result_go() -> None:
    small, _ = cut("BPE", ("end",))
    merges = _values(small.backend_tokenizer)["model"]["merges"]
    pieces = small.get_vocab()
    assert 0 < len(merges) < len(_values(trained("BPE").backend_tokenizer)["model"]["merges"])
    assert all({left, right, left + right} <= pieces.keys() for left, right in merges)
    made = {left + right for left, right in merges}
    singles = {piece for piece in pieces if len(piece) == 1}
    assert len(singles) == 256
    assert set(pieces) - made - singles == {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}  # nothing that no merge makes
    assert small.tokenize("end") == trained("BPE").tokenize("end")


def test_special_tokens_with_high_ids_move() -> None:
    """Where they stand around a text is written down with their ids."""
    special = ["<unk>", "<s>", "</s>", "<pad>", "<mask>"]
    scored = [(f"{one}{other}", -5.0) for one in "abc" for other in "abc"]
    made = Tokenizer(models.Unigram([*scored, *((one, -9.0) for one in "abc"), *((one, 0.0) for one in special)], 12))
    pair = [("<s>", 13), ("</s>", 14)]
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", pair)
    names = zip(("unk", "cls", "sep", "pad", "mask"), special, strict=True)
    whole = PreTrainedTokenizerFast(tokenizer_object=made, **{f"{name}_token": token for name, token in names})
    config = BertConfig(vocab_size=17, pad_token_id=15)
    kept = choose_pieces(whole, config, Counter({0: 1}), ALL)
    assert kept == (0, *range(9, 17))
    config.vocab_size, config.pad_token_id = 9, 7
    small = cut_tokenizer(whole, kept, config, SPEC)
    assert [kept[index] for index in small("aaba", "cx")["input_ids"]] == [13, 0, 10, 9, 14, 14, 11, 12, 14]


def test_bytes_that_unknown_characters_are_read_in_stay() -> None:
    scored = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("<pad>", 0.0), ("<mask>", 0.0)]
    scored += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    made = Tokenizer(models.Unigram([*scored, ("a", -1.0), ("éé", -2.0), ("ab", -3.0)], 0, byte_fallback=True))
    special = ("unk", "cls", "sep", "pad", "mask")
    named = {f"{name}_token": token for name, (token, _) in zip(special, scored, strict=False)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **named)
    kept = choose_pieces(tokenizer, BertConfig(vocab_size=264, pad_token_id=3), Counter(), ALL)
    assert kept == tuple(range(262))  # without a byte for `é`, `éé` would have to stay


def test_the_most_frequent_come_first_and_then_the_lower_id() -> None:
    tokenizer = trained("WordPiece")
    ids = tokenizer.get_vocab()
    low, middle, high = sorted(ids[word] for word in ("film", "the", "was"))
    config, least = config_of("WordPiece"), len(choose_pieces(tokenizer, config_of("WordPiece"), Counter(), ALL))
    found = Counter({low: 2, middle: 2, high: 5})
    order = [set(choose_pieces(tokenizer, config, found, VocabularyConfig(keep=least + more))) for more in range(4)]
    gained = [next(iter(more - less)) for less, more in pairwise(order)]
    assert gained == [high, low, middle]
    assert choose_pieces(tokenizer, config, found, VocabularyConfig(keep=10**6)) == tuple(sorted(order[-1]))


def test_a_piece_that_is_made_of_others_takes_room_for_them() -> None:
    tokenizer, config = trained("BPE"), config_of("BPE")
    merges = _values(tokenizer.backend_tokenizer)["model"]["merges"]
    ids = tokenizer.get_vocab()
    pairs = {left + right: (left, right) for left, right in merges}
    deep = next(piece for piece, parts in pairs.items() if any(len(part) > 1 for part in parts))
    inner = {part for part in pairs[deep] if len(part) > 1}
    least = len(choose_pieces(tokenizer, config, Counter(), ALL))
    used = Counter({ids[deep]: 9})
    assert ids[deep] not in choose_pieces(tokenizer, config, used, VocabularyConfig(keep=least + len(inner)))
    whole = set(choose_pieces(tokenizer, config, used, ALL))
    assert {ids[deep], *(ids[part] for part in inner)} <= whole


def test_a_piece_whose_characters_are_no_pieces_stays() -> None:
    """Without it, its words would become unknown."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "##b", "ab", "abc", "##bc"]
    tokenizer = BertTokenizerFast(vocab={piece: index for index, piece in enumerate(vocabulary)})
    kept = choose_pieces(tokenizer, BertConfig(vocab_size=12), Counter(), ALL)
    assert names(tokenizer, kept) == [piece for piece in vocabulary if piece != "ab"]


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"keep": 30}, r"pruning\.vocabulary\.keep must be at least \d\d, the special tokens .*, got 30; raise it"),
        (
            {"share": 0.2},
            r"pruning\.vocabulary\.share must be at least 0\.\d{1,4} \(\d\d of 100 pieces\), .*, got 0\.2;",
        ),
    ],
)
def test_a_limit_below_what_is_required_says_the_least(limit: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        cut("WordPiece", tuple(CORPUS), VocabularyConfig(**limit))
    least = float(str(caught.value).split("at least ")[1].split()[0].strip(","))
    key = next(iter(limit))
    smallest = VocabularyConfig(keep=int(least)) if key == "keep" else VocabularyConfig(share=least)
    assert len(cut("WordPiece", tuple(CORPUS), smallest)[1]) == len(cut("WordPiece", ())[1])


def test_a_share_is_of_all_pieces() -> None:
    assert len(trained("WordPiece")) == 100
    assert len(cut("WordPiece", tuple(CORPUS))[1]) > 57
    assert (
        len(cut("WordPiece", tuple(CORPUS), VocabularyConfig(share=0.57))[1]) == 57
    )  # as a float, 100 times it is less


def test_a_tokenizer_of_whole_words_can_not_be_cut() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", pad_token="a")
    with pytest.raises(ConfigError, match=r"needs a tokenizer of WordPiece, BPE, Unigram, got WordLevel; leave it out"):
        choose_pieces(tokenizer, BertConfig(vocab_size=2, pad_token_id=1), Counter(), ALL)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("head", ["sequence", "token"])
def test_the_logits_of_kept_pieces_are_the_same(family: str, head: str, tiny_model: TinyModel) -> None:
    model = tiny_model(family, head)
    size, pad = model.config.vocab_size, model.config.pad_token_id
    kept = [index for index in range(size) if index < 5 or index % 3]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    small = cut_embeddings(model, kept)
    new = {old: place for place, old in enumerate(kept)}
    ids = torch.tensor([[2, 7, 10, 8, 3], [2, 11, 3, pad, pad]])
    mask = (ids != pad).long()
    renumbered = torch.tensor([[new[index] for index in row] for row in ids.tolist()])
    assert not torch.equal(ids, renumbered)
    with torch.inference_mode():
        expected, found = (
            one(input_ids=some, attention_mask=mask).logits for one, some in ((model, ids), (small, renumbered))
        )
    assert torch.equal(expected, found)
    table = small.get_input_embeddings()
    assert (small.config.vocab_size, table.num_embeddings, len(table.weight)) == (len(kept),) * 3
    difference = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in small.parameters())
    assert difference == (size - len(kept)) * table.embedding_dim
    after = model.state_dict()
    assert model.config.vocab_size == size
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    small.get_input_embeddings().weight.data.zero_()
    assert torch.equal(model.get_input_embeddings().weight, next(v for k, v in before.items() if "word_emb" in k))


def test_ids_of_a_config_move_with_their_pieces(tiny_model: TinyModel) -> None:
    model = tiny_model("bert")
    model.config.pad_token_id, model.config.eos_token_id, model.config.bos_token_id = 9, [12, 4], 900
    small = cut_embeddings(model, [1, 4, 9, 12])
    assert (small.config.pad_token_id, small.config.eos_token_id, small.config.bos_token_id) == (2, [3, 1], 900)
    assert small.get_input_embeddings().padding_idx == 2
    assert model.config.pad_token_id == 9


def test_pieces_that_a_config_names_are_required() -> None:
    tokenizer, config = trained("WordPiece"), config_of("WordPiece")
    config.bos_token_id, config.eos_token_id = (tokenizer.get_vocab()[word] for word in ("film", "the"))
    assert {config.bos_token_id, config.eos_token_id} <= set(choose_pieces(tokenizer, config, Counter(), ALL))


def test_positions_counted_from_padding_keep_its_id() -> None:
    """RoBERTa's first position is the id of padding plus 1: another id would read all rows at other positions."""
    config, tokenizer = config_of("BPE"), trained("BPE")
    late = tokenizer.get_vocab()["Ġthe"]
    config.pad_token_id = late
    kept = choose_pieces(tokenizer, config, Counter(), ALL)
    assert kept.index(late) == late


def test_added_tokens_stay() -> None:
    whole = BertTokenizerFast(vocab=trained("WordPiece").get_vocab(), model_max_length=64)
    whole.add_tokens(["covid-19"])
    whole.add_special_tokens({"extra_special_tokens": ["[DRUG]"]})
    config = config_of("WordPiece")
    kept = choose_pieces(whole, config, Counter(), ALL)
    config.vocab_size = len(kept)
    small = cut_tokenizer(whole, kept, config, SPEC)
    text = "the [DRUG] was covid-19"
    assert small.tokenize(text)[-1] == "covid-19"
    assert "[DRUG]" in small.tokenize(text)
    assert small.convert_tokens_to_ids(["covid-19", "[DRUG]"]) == [len(kept) - 2, len(kept) - 1]


def test_words_of_sentences_are_read_one_by_one_also_afterwards() -> None:
    """RoBERTa's tokenizer for NER puts a blank before each word."""
    spec = SPECS["ner"]
    model = _values(trained("BPE").backend_tokenizer)["model"]
    merges = [tuple(one) for one in model["merges"]]
    whole = RobertaTokenizerFast(vocab=model["vocab"], merges=merges, add_prefix_space=True, model_max_length=64)
    kept = choose_pieces(whole, config_of("BPE"), Counter(whole("the film")["input_ids"]), ALL)
    small = cut_tokenizer(whole, kept, _cut_config("BPE", kept), spec)
    words = ["the", "film", "ending"]
    assert small.tokenize("the") == whole.tokenize("the")
    assert set(small(words, is_split_into_words=True).word_ids()) == {None, 0, 1, 2}


def test_a_text_that_is_read_otherwise_is_seen() -> None:
    check_same_reading("rows", [[5, 9], [7]], [[0, 1], [0]], (5, 9))  # 7 is not kept
    with pytest.raises(ModelError, match=r"read as before, text 1 of rows is not; this tokenizer can't be cut"):
        check_same_reading("rows", [[7], [5, 9]], [[0], [1, 0]], (5, 9))

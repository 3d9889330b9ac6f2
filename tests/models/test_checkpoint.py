from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GPT2Config, PreTrainedModel, PreTrainedTokenizerFast, RobertaTokenizerFast

from aebert.config import ModelConfig
from aebert.errors import ModelError
from aebert.models.checkpoint import Checkpoint, load_checkpoint
from aebert.models.families import FAMILIES
from aebert.tasks.encoding import encode
from aebert.tasks.task import Row, TaskSpec

TinyModel = Callable[..., PreTrainedModel]
SPEC = TaskSpec("toy", "classification", ("text",), "label", ("bad", "so-so", "good"), "accuracy", "accuracy")
NER = TaskSpec("toy", "ner", ("words",), "tags", ("PER",), "seqeval", "f1")
SCORE = TaskSpec("toy", "regression", ("text",), "label", (), "pearson_spearman", "spearman")


@pytest.fixture
def folder(tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """Holds a tokenizer, so far."""
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def load(folder: Path, spec: TaskSpec = SPEC, seed: int = 0, labels: tuple[str, ...] | None = None) -> Checkpoint:
    return load_checkpoint(ModelConfig(path=str(folder), labels=labels), spec, seed)


def save(model: PreTrainedModel, folder: Path, names: tuple[str, ...] | None = None) -> None:
    if names:
        model.config.id2label = dict(enumerate(names))
        model.config.label2id = {name: index for index, name in enumerate(names)}
    model.save_pretrained(folder)


def save_encoder(model: PreTrainedModel, folder: Path) -> None:
    """The encoder without an output layer."""
    getattr(model, model.base_model_prefix).save_pretrained(folder)


@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize(("head", "spec"), [("sequence", SPEC), ("token", NER), ("sequence", SCORE)])
def test_a_fine_tuned_checkpoint_gives_the_logits_it_was_saved_with(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], folder: Path, family: str, head: str, spec: TaskSpec
) -> None:
    model = tiny_model(family, head, labels=spec.num_outputs)
    save(model, folder, spec.output_names)
    loaded = load(folder, spec)
    assert loaded.fine_tuned
    assert not loaded.model.training
    # with a single output, where a weight lies in memory decides the last bit
    torch.testing.assert_close(loaded.model(**padded_batch).logits, model(**padded_batch).logits, rtol=1e-6, atol=1e-6)
    assert tuple(loaded.model.config.id2label.values()) == spec.output_names


def test_outputs_are_brought_into_the_task_s_order_by_name(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], folder: Path
) -> None:
    model = tiny_model()
    save(model, folder, ("GOOD", "bad", "so-so"))
    loaded = load(folder)
    assert torch.equal(loaded.model(**padded_batch).logits, model(**padded_batch).logits[:, [1, 2, 0]])
    assert loaded.model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}


def test_outputs_without_names_are_taken_in_the_task_s_order(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], folder: Path
) -> None:
    model = tiny_model()
    save(model, folder)  # LABEL_0 …
    assert torch.equal(load(folder).model(**padded_batch).logits, model(**padded_batch).logits)


def test_names_of_outputs_can_be_given(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], folder: Path
) -> None:
    model = tiny_model()
    save(model, folder)
    loaded = load(folder, labels=("good", "so-so", "bad"))
    assert torch.equal(loaded.model(**padded_batch).logits, model(**padded_batch).logits[:, [2, 1, 0]])


def test_other_names_are_an_error(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model(), folder, ("negative", "neutral", "positive"))
    with pytest.raises(
        ModelError, match=r"labels of task toy \(bad, so-so, good\), got negative, neutral, positive; set model\.labels"
    ):
        load(folder)


def test_another_number_of_outputs_is_an_error(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model(labels=4), folder)
    with pytest.raises(ModelError, match=r"must have 3 outputs for task toy, it has 4; choose another checkpoint"):
        load(folder)


def test_a_checkpoint_without_output_layer_gets_one_from_the_seed(tiny_model: TinyModel, folder: Path) -> None:
    model = tiny_model()
    save_encoder(model, folder)
    state = torch.get_rng_state()
    first, same, other = load(folder, seed=1), load(folder, seed=1), load(folder, seed=2)
    assert not first.fine_tuned
    assert torch.equal(first.model.classifier.weight, same.model.classifier.weight)
    assert not torch.equal(first.model.classifier.weight, other.model.classifier.weight)
    assert torch.equal(torch.get_rng_state(), state)
    for name, weight in model.bert.encoder.state_dict().items():
        assert torch.equal(first.model.bert.encoder.state_dict()[name], weight), name


def test_half_precision_weights_are_loaded_as_float32(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model().half(), folder)
    assert {parameter.dtype for parameter in load(folder).model.parameters()} == {torch.float32}


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere does not exist; model\.path takes 'minilm', a hub id or a folder"):
        load(tmp_path / "nowhere")


def test_a_folder_without_config_is_an_error(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"model must hold config\.json; it does not"):
        load(folder)


def test_a_truncated_weight_file_is_an_error(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model(), folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"weights of .* are damaged or truncated \(.*\): copy them again") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_weight_file_is_an_error_of_one_line(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model(), folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"can't be loaded: .*model\.safetensors") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_missing_encoder_weights_are_named(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model(), folder)
    weights = load_file(folder / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"all encoder weights; bert\.encoder\.layer\.1\.output\.dense\.bias is missing"
    ):
        load(folder)


def test_an_unknown_family_is_an_error(folder: Path) -> None:
    GPT2Config().save_pretrained(folder)
    with pytest.raises(ModelError, match=r"bert, roberta, electra, distilbert, mobilebert, got 'gpt2'"):
        load(folder)


def test_a_damaged_config_is_an_error_of_one_line(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "be')
    with pytest.raises(ModelError, match=r"can't be loaded: ") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_roberta_reads_words_apart_for_ner(tiny_model: TinyModel, tmp_path: Path) -> None:
    """Its tokenizer marks the blank before a word; without `add_prefix_space`, encoding refuses it."""
    alphabet = {piece: index for index, piece in enumerate(["<pad>", "<s>", "</s>", "<unk>", *ByteLevel.alphabet()])}
    RobertaTokenizerFast(vocab=alphabet, merges=[]).save_pretrained(tmp_path)
    save(tiny_model("roberta", "token"), tmp_path, NER.output_names)
    tokenizer = load(tmp_path, NER).tokenizer
    pieces = tokenizer.convert_ids_to_tokens(encode([Row(("a", "b"), (0, 1))], NER, tokenizer, 16)[0]["input_ids"])
    assert pieces == ["<s>", "Ġ", "a", "Ġ", "b", "</s>"]


def test_a_task_s_own_labels_decide_how_many_outputs_a_new_layer_has(tiny_model: TinyModel, folder: Path) -> None:
    save_encoder(tiny_model(), folder)
    assert load(folder, replace(SPEC, labels=tuple("abcdefg"))).model.classifier.out_features == 7


def test_a_checkpoint_of_another_kind_of_task_is_an_error_of_one_line(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model("bert", "token", labels=9), folder)
    with pytest.raises(ModelError, match=r"can't be loaded: its weights have other sizes than its config, or the task"):
        load(folder)

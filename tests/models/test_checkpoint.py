from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from transformers import GPT2Config, PreTrainedModel, PreTrainedTokenizerFast

from aebert.config import ModelConfig
from aebert.digests import weights_digest
from aebert.errors import ModelError
from aebert.models.checkpoint import Checkpoint, load_checkpoint
from aebert.models.families import FAMILIES
from aebert.tasks.encoding import encode
from aebert.tasks.task import Row, TaskKind, TaskSpec

from ..conftest import VOCABULARY

TinyModel = Callable[..., PreTrainedModel]
SPEC = TaskSpec(
    name="toy",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "so-so", "good"),
    metric="accuracy",
    headline="accuracy",
)
NER = TaskSpec(
    name="toy", kind="ner", columns=("words",), label_column="tags", labels=("PER",), metric="seqeval", headline="f1"
)
SCORE = TaskSpec(
    name="toy",
    kind="regression",
    columns=("text",),
    label_column="label",
    labels=(),
    metric="pearson_spearman",
    headline="spearman",
)


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


def test_the_digest_is_of_the_weights_as_they_were_loaded(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model(), folder, SPEC.labels)
    loaded = load(folder)
    assert loaded.digest == load(folder).digest == weights_digest(loaded.model)
    with torch.no_grad():
        loaded.model.classifier.bias += 1
    assert loaded.digest == load(folder).digest != weights_digest(loaded.model)


def test_outputs_are_brought_into_the_task_s_order_by_name(
    tiny_model: TinyModel, padded_batch: dict[str, torch.Tensor], folder: Path
) -> None:
    model = tiny_model()
    save(model, folder, ("GOOD", "bad", "so-so"))
    loaded = load(folder)
    assert torch.equal(loaded.model(**padded_batch).logits, model(**padded_batch).logits[:, [1, 2, 0]])
    assert loaded.model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}


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


def test_another_number_of_outputs_starts_a_new_layer_where_training_is_allowed(
    tiny_model: TinyModel, folder: Path
) -> None:
    save(tiny_model(labels=4), folder)
    assert not load(folder).fine_tuned
    with pytest.raises(ModelError, match=r"the checkpoint has 4 outputs, task toy has 3 .*; choose another checkpoint"):
        load_checkpoint(ModelConfig(path=str(folder)), SPEC, 0, train="never")


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


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere does not exist; model\.path takes 'minilm', a hub id or a folder"):
        load(tmp_path / "nowhere")


def test_a_folder_without_config_is_an_error(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"model must hold config\.json; it does not"):
        load(folder)


def test_an_unknown_family_is_an_error(folder: Path) -> None:
    GPT2Config().save_pretrained(folder)
    with pytest.raises(ModelError, match=r"bert, roberta, electra, distilbert, mobilebert, got 'gpt2'"):
        load(folder)


def test_roberta_reads_words_apart_for_ner(made: Callable[[str, TaskKind], Path]) -> None:
    """Its tokenizer marks the blank before a word; without `add_prefix_space`, encoding refuses it."""
    tokenizer = load(made("roberta", "ner"), NER).tokenizer
    pieces = tokenizer.convert_ids_to_tokens(encode([Row(("a", "b"), (0, 1))], NER, tokenizer, 16)[0]["input_ids"])
    assert pieces == ["<s>", "Ġ", "a", "Ġ", "b", "</s>"]


def test_a_task_s_own_labels_decide_how_many_outputs_a_new_layer_has(tiny_model: TinyModel, folder: Path) -> None:
    save_encoder(tiny_model(), folder)
    assert load(folder, replace(SPEC, labels=tuple("abcdefg"))).model.classifier.out_features == 7


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model\.path must be a folder .*, .*model\.safetensors is a file"):
        load(tmp_path / "model.safetensors")


def test_the_pooler_of_another_task_is_kept_and_a_missing_one_is_noted(tiny_model: TinyModel, folder: Path) -> None:
    model = tiny_model("bert", labels=5)
    save(model, folder)
    loaded = load(folder)
    assert not loaded.fine_tuned
    assert torch.equal(loaded.model.bert.pooler.dense.weight, model.bert.pooler.dense.weight)
    save(tiny_model("bert", "token"), folder)
    notes = load(folder).facts.notes
    assert "the checkpoint has no bert.pooler.dense; it starts from random values with the output layer" in notes


def test_what_was_understood_is_described_in_plain_values(tiny_model: TinyModel, folder: Path) -> None:
    save(tiny_model().half(), folder, ("GOOD", "bad", "so-so"))
    facts = json.loads(json.dumps(load(folder).facts.to_dict()))
    shape = facts.pop("shape")
    assert (shape["family"], shape["heads"]) == ("bert", [4, 4])
    assert facts == {
        "family": "bert",
        "stored_class": "BertForSequenceClassification",
        "parameters": sum(parameter.numel() for parameter in tiny_model().parameters()),
        "head_kept": True,
        "head": "output layer of BertForSequenceClassification",
        "outputs": {"bad": "bad", "so-so": "so-so", "good": "GOOD"},
        "files": ["model.safetensors"],
        "dtypes": ["float16"],
        "tokenizer": "BertTokenizer",
        "vocabulary": len(VOCABULARY),
        "embeddings": len(VOCABULARY),
        "cased": False,
        "lowercases": True,
        "positions": 64,
        "notes": ["outputs of the checkpoint were taken for labels of the task: GOOD = good"],
    }


def test_weights_may_change_on_disk_once_they_are_loaded(tiny_model: TinyModel, folder: Path) -> None:
    """A run may store its dense model in the folder that it came from."""
    save(tiny_model(), folder, SPEC.output_names)
    loaded = load(folder).model.bert.encoder.layer[0].output.dense.weight
    before = loaded.clone()
    (folder / "model.safetensors").write_bytes(bytes(len((folder / "model.safetensors").read_bytes())))
    assert torch.equal(loaded, before)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cached snapshot of `someone/model`, on a machine without a network."""
    cached = tmp_path / "hub" / "models--someone--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cached / "snapshots" / ("0" * 40)


@pytest.mark.parametrize("pickled", [False, True])
def test_a_model_of_the_hub_is_read_from_its_cache(
    tiny_model: TinyModel, tiny_tokenizer: PreTrainedTokenizerFast, hub: Path, pickled: bool
) -> None:
    model = tiny_model()
    tiny_tokenizer.save_pretrained(hub)
    save(model, hub, SPEC.output_names)
    if pickled:
        (hub / "model.safetensors").unlink()
        torch.save(model.state_dict(), hub / "pytorch_model.bin")
    loaded = load_checkpoint(ModelConfig(path="someone/model"), SPEC, 0)
    assert loaded.fine_tuned
    assert torch.equal(loaded.model.classifier.weight, model.classifier.weight)


def test_a_model_that_the_hub_cannot_give_is_one_line(hub: Path) -> None:
    with pytest.raises(ModelError, match=r"checkpoint someone/other can't be loaded: ") as caught:
        load_checkpoint(ModelConfig(path="someone/other"), SPEC, 0)
    assert "\n" not in str(caught.value)

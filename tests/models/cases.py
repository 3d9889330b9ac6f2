"""Checkpoints that people have: one row says how each is made, and what must be said of it or that it must load.

Every row names a public report of the situation, or the variant of transformers that makes it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from aebert.models.families import FAMILIES
from aebert.models.heads import head_classes, task_class
from aebert.tasks.task import TaskKind, TaskSpec

from ..conftest import randomize
from .checkpoints import SPECS, Folder, make_config, make_model, make_tokenizer

Edit = Callable[[Folder], object]
WORDPIECE = ("bert", "electra", "distilbert", "mobilebert")
POOLED = ("bert", "mobilebert")
CLASSES, NER = SPECS["classification"], SPECS["ner"]
PAIRS = replace(CLASSES, columns=("text", "other"))
NUMBERS = CLASSES.with_labels(("0", "1", "2"))
TWO = CLASSES.with_labels(("bad", "good"))
PLACES = NER.with_labels(("PER", "LOC"))
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 437992753\n"


@dataclass(frozen=True)
class Case:
    """A checkpoint fine-tuned for a task of `kind`, edited, and loaded for `spec` with `options`.

    says: a pattern of the message that refuses it; None when it must load. notes: a pattern of what is noted then.
    order: for each output of the task, the checkpoint's own; None where the output layer is new.
    """

    name: str
    source: str
    edit: Edit
    says: str | None = None
    kind: TaskKind = "classification"
    spec: TaskSpec | None = None
    families: tuple[str, ...] = tuple(FAMILIES)
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    order: tuple[int, ...] | None = (0, 1, 2)

    @property
    def task(self) -> TaskSpec:
        """The task that it is loaded for."""
        return self.spec or SPECS[self.kind]


# --- how checkpoints are edited ---------------------------------------------------------------------------------------


def nothing(folder: Folder) -> None:
    """Leave it as transformers saved it."""


def state(*dropped: str, **values: Any) -> Edit:
    """Change config.json."""
    return lambda folder: folder.state(*dropped, **values)


def labels(*names: Any) -> Edit:
    """Name the outputs."""
    pairs = {str(index): name for index, name in enumerate(names)}
    return state(id2label=pairs, label2id={str(name): index for index, name in enumerate(names)})


unnamed = labels("LABEL_0", "LABEL_1", "LABEL_2")


def write(name: str, content: str | bytes) -> Edit:
    """Write a file."""
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


def instead(name: str, content: str | bytes = b"something") -> Edit:
    """Leave another file in place of the weights."""
    return both(remove("model.safetensors"), write(name, content))


def remove(*names: str) -> Edit:
    """Remove files."""

    def change(folder: Folder) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def both(*edits: Edit) -> Edit:
    """Edit one after the other."""
    return lambda folder: [edit(folder) for edit in edits]


def cut(name: str) -> Edit:
    """Keep the first half of a file."""
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


def rename(change: Callable[[str], str]) -> Edit:
    """Rename tensors."""
    return lambda folder: folder.rewrite(lambda name, tensor: {change(name): tensor})


def without(part: str) -> Edit:
    """Leave out tensors whose name has a part."""
    return lambda folder: folder.rewrite(lambda name, tensor: {} if part in name else {name: tensor})


def add(name: str, tensor: torch.Tensor) -> Edit:
    """Add a tensor."""
    return lambda folder: folder.store({**folder.tensors(), name: tensor})


def as_dtype(dtype: torch.dtype) -> Edit:
    """Store all tensors in another number format."""
    return lambda folder: folder.rewrite(lambda name, tensor: {name: tensor.to(dtype)})


def poison(value: float) -> Edit:
    """Put a value into one weight."""

    def change(folder: Folder) -> None:
        tensors = folder.tensors()
        tensors[folder.first("dense.weight" if folder.family != "distilbert" else "lin1.weight")][0, 0] = value
        folder.store(tensors)

    return change


def saved_as(suffix: str, **values: Any) -> Edit:
    """Save a model of another class of the family."""

    def change(folder: Folder) -> None:
        names = [name for name in head_classes(folder.family) if name.endswith(suffix)]
        folder.save(make_model(getattr(transformers, names[0]), folder.family, **values))

    return change


def pickled(values: Callable[[Folder], Any]) -> Edit:
    """Write pytorch_model.bin in place of model.safetensors."""
    return lambda folder: folder.pickle(values(folder))


def legacy(folder: Folder) -> None:
    """Write pytorch_model.bin as torch did before 1.6."""
    torch.save(folder.tensors(), folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    (folder / "model.safetensors").unlink()


def sharded(folder: Folder, ending: str = "bin") -> None:
    """Split pytorch_model.bin into two files with an index."""
    tensors = list(folder.tensors().items())
    parts = {f"pytorch_model-0000{part + 1}-of-00002.bin": dict(tensors[part::2]) for part in range(2)}
    for name, part in parts.items():
        torch.save(part, folder / name)
    table = {key: name for name, part in parts.items() for key in part}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    (folder / "model.safetensors").unlink()


def whole_model(folder: Folder) -> None:
    """Pickle the model itself, as `torch.save(model, path)` does."""
    config = make_config(folder.family, num_labels=3)
    folder.pickle(task_class(folder.family, "classification")(config))


def stale(folder: Folder) -> None:
    """Leave the weights of another training beside the model's."""
    other = {name: tensor + 1 for name, tensor in folder.tensors().items()}
    torch.save(other, folder / "pytorch_model.bin")


def twin(folder: Folder) -> None:
    """Have the same weights twice, as the hub often does."""
    torch.save(folder.tensors(), folder / "pytorch_model.bin")


def old_layer_norms(folder: Folder) -> None:
    """Name the weights of norms as TensorFlow does."""
    ends = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    rename(lambda name: next((name.replace(old, new) for old, new in ends.items() if name.endswith(old)), name))(folder)


def half_an_encoder(folder: Folder) -> None:
    """Say that there is one layer fewer than the weights have."""
    folder.state(**{"n_layers" if folder.family == "distilbert" else "num_hidden_layers": 1})


def one_layer_more(folder: Folder) -> None:
    """Say that there is one layer more than the weights have."""
    folder.state(**{"n_layers" if folder.family == "distilbert" else "num_hidden_layers": 3})


def pruned_by_hand(folder: Folder) -> None:
    """Remove one of four heads, as `prune_heads` of transformers 4 did, and the note of it."""
    inputs = ("query", "key", "value", "q_lin", "k_lin", "v_lin")

    def change(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
        part = name.split(".")[-2]
        if "attention" in name and part in inputs:
            return {name: tensor[: len(tensor) * 3 // 4]}
        return {name: tensor}

    folder.rewrite(change)


def lora(folder: Folder) -> None:
    """Save the tensors of a model with an adapter on top."""
    name = folder.first("query.weight" if folder.family != "distilbert" else "q_lin.weight")
    part = name.removesuffix(".weight")
    tensors = folder.tensors()
    tensors[f"{part}.base_layer.weight"] = tensors.pop(name)
    folder.store({**tensors, f"{part}.lora_A.default.weight": torch.ones(4, 32)})


def of_other_family(folder: Folder) -> None:
    """Say another family than the tensors are of."""
    other = "electra" if folder.family == "bert" else "bert"
    folder.state("architectures", model_type=other)


def mixed_head(folder: Folder) -> None:
    """Keep a classifier under the name of a class without one."""
    name = type(
        make_model(transformers.AutoModel._model_mapping[type(make_config(folder.family))], folder.family)
    ).__name__
    folder.state(architectures=[name])


def token_types(folder: Folder) -> None:
    """Have one token type only."""
    model = randomize(
        task_class(folder.family, "classification")(make_config(folder.family, type_vocab_size=1, num_labels=3)), 0
    )
    named = folder.stated
    folder.save(model)
    folder.state(id2label=named["id2label"], label2id=named["label2id"])


def tokenizer_of(folder: Folder, **settings: Any) -> None:
    """Save the tokenizer with other settings, without its tokenizer.json deciding."""
    folder.edit("tokenizer_config.json", **settings)


def vocabulary_file(folder: Folder, change: Callable[[list[str]], list[str]]) -> None:
    """Have vocab.txt instead of tokenizer.json."""
    pieces = sorted(make_tokenizer(folder.family).get_vocab().items(), key=lambda item: item[1])
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(change([piece for piece, _ in pieces])) + "\n", encoding="utf-8")


def vocabulary(change: Callable[[list[str]], list[str]] = list) -> Edit:
    """Have vocab.txt, with other pieces, instead of tokenizer.json."""
    return lambda folder: vocabulary_file(folder, change)


def cased(pieces: list[str]) -> list[str]:
    """The same pieces, every third word with a capital."""
    return [piece.capitalize() if index > 4 and index % 3 == 0 else piece for index, piece in enumerate(pieces)]


def add_tokens(folder: Folder) -> None:
    """Add words to the tokenizer and not to the model."""
    tokenizer = type(make_tokenizer(folder.family)).from_pretrained(folder.path)
    tokenizer.add_tokens(["covid", "omicron"])
    tokenizer.save_pretrained(folder.path)


def own_normalizer(folder: Folder) -> None:
    """Have a tokenizer.json with a step that transformers' class for it doesn't make."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["normalizer"] = {"type": "Replace", "pattern": {"String": "e"}, "content": "a"}
    path.write_text(json.dumps(values), encoding="utf-8")


def no_template(folder: Folder) -> None:
    """Have a tokenizer.json without special tokens around the text, and no class that adds them."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["post_processor"] = None
    path.write_text(json.dumps(values), encoding="utf-8")
    folder.edit("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


def other_pieces(folder: Folder) -> None:
    """Have a vocab.txt of another model beside tokenizer.json."""
    pieces = sorted(make_tokenizer(folder.family).get_vocab().items(), key=lambda item: item[1])
    lines = [piece for piece, _ in pieces]
    lines[6], lines[7] = lines[7], lines[6]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def bytes_without_merges(folder: Folder) -> None:
    """Have vocab.json alone."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(make_tokenizer("roberta").get_vocab()))


def positions_from(start: int) -> Edit:
    """Store position ids, which later versions don't."""
    return lambda folder: add(f"{folder.encoder}embeddings.position_ids", torch.arange(64)[None] + start)(folder)


def wrap(prefix: str) -> Edit:
    """Save the tensors of a module that wraps the model."""
    return rename(lambda name: prefix + name)


def in_a_folder(folder: Folder) -> None:
    """Have the weights in a folder of the training's checkpoints."""
    (folder / "checkpoint-500").mkdir()
    shutil.move(folder / "model.safetensors", folder / "checkpoint-500")


def whole_folder(model: Callable[[Folder], PreTrainedModel]) -> Edit:
    """Save another model."""
    return lambda folder: folder.save(model(folder))


CASES: list[Case] = [
    # --- files --------------------------------------------------------------------------------------------------------
    Case("as transformers saved it", "transformers save_pretrained", nothing),
    Case("float16", "huggingface/transformers save_pretrained after model.half()", as_dtype(torch.float16)),
    Case("bfloat16", "huggingface/transformers dtype='auto'", as_dtype(torch.bfloat16)),
    Case("float64", "torch model.double()", as_dtype(torch.float64)),
    Case("pytorch_model.bin", "huggingface/transformers#8720", pickled(Folder.tensors)),
    Case("ordered state dict", "yunjey/pytorch-tutorial#6", pickled(lambda folder: OrderedDict(folder.tensors()))),
    Case("old pickle", "torch before 1.6", legacy),
    Case("sharded .bin", "huggingface/transformers save_pretrained(max_shard_size)", sharded),
    Case("the same weights twice", "lightonai/pylate#73", twin),
    Case(
        "stale weights",
        "huggingface/diffusers#14769, huggingface/transformers#26729",
        stale,
        r"must hold one set of weights, model\.safetensors and pytorch_model\.bin differ in .*; remove the one",
    ),
    Case(
        "stale weights of another size",
        "huggingface/diffusers#14769",
        lambda folder: torch.save({k: v[:1] for k, v in folder.tensors().items()}, folder / "pytorch_model.bin"),
        r"must hold one set of weights",
    ),
    Case(
        "a broken file that is not read",
        "huggingface/transformers#10450",
        write("pytorch_model.bin", LFS),
    ),
    Case(
        "a shard is missing",
        "alibaba/Tora#7",
        both(sharded, remove("pytorch_model-00002-of-00002.bin")),
        r"pytorch_model\.bin\.index\.json names must be there, pytorch_model-00002-of-00002\.bin is missing; copy it",
    ),
    Case(
        "index without table",
        "huggingface/transformers#26729",
        both(remove("model.safetensors"), write("model.safetensors.index.json", "{}")),
        r"model\.safetensors\.index\.json must be JSON with a weight_map",
    ),
    Case(
        "git-lfs pointer",
        "microsoft/JARVIS#35, vllm-project/vllm#1382",
        write("model.safetensors", LFS),
        r"model\.safetensors must hold weights, it is a pointer of git-lfs; run `git lfs pull`",
    ),
    Case(
        "git-lfs pointer in .bin",
        "huggingface/transformers#10450",
        instead("pytorch_model.bin", LFS),
        r"pytorch_model\.bin must hold weights, it is a pointer of git-lfs; run `git lfs pull`",
    ),
    Case(
        "web page",
        "PromtEngineer/localGPT#35",
        write("model.safetensors", "<!doctype html><html></html>"),
        r"must hold weights, it is a web page; download the file itself",
    ),
    Case(
        "empty file", "lyogavin/airllm#93", write("model.safetensors", b""), r"must not be empty, it has 0 bytes; copy"
    ),
    Case(
        "truncated safetensors",
        "lyogavin/airllm#137, invoke-ai/InvokeAI#7009",
        cut("model.safetensors"),
        r"model\.safetensors must be whole, it is damaged or truncated \(.*\); copy it again",
    ),
    Case(
        "truncated .bin",
        "PromtEngineer/localGPT#35",
        both(pickled(Folder.tensors), cut("pytorch_model.bin")),
        r"pytorch_model\.bin must be whole, it is damaged or truncated \(.*\); copy it again",
    ),
    Case(
        "a pickled model",
        "yunjey/pytorch-tutorial#6, huggingface/transformers#112",
        whole_model,
        r"must hold a table of tensors, it holds pickled objects of other classes; .*model\.save_pretrained\(folder\)",
    ),
    Case(
        "nested state dict",
        "Lightning-AI/pytorch-lightning#2404, shoarora/transformers-trainers#14",
        pickled(lambda folder: {"state_dict": folder.tensors(), "epoch": 3}),
        r"must hold the model's tensors alone, they are inside 'state_dict'; take them out",
    ),
    Case("a list", "torch.save", pickled(lambda _: [1, 2]), r"must hold a table of tensors, got list; save the model"),
    Case(
        "TensorFlow only",
        "amaiya/ktrain#365, conceptofmind/toolformer#30",
        instead("tf_model.h5"),
        r"it holds TensorFlow weights only \(tf_model\.h5\); convert them with transformers 4",
    ),
    Case(
        "Flax only",
        "EuroEval/EuroEval#52",
        instead("flax_model.msgpack"),
        r"it holds Flax weights only \(flax_model\.msgp",
    ),
    Case(
        "ONNX only",
        "huggingface/optimum save_pretrained",
        instead("model.onnx"),
        r"it holds an exported model only \(model\.onnx\); give the checkpoint",
    ),
    Case("GGUF only", "iamlemec/bert.cpp#8", instead("model-f16.gguf"), r"an exported model only \(model-f16\.gguf\)"),
    Case(
        "weights of another name",
        "Rose-STL-Lab/LIMO#3",
        instead("model.pt"),
        r"it holds model\.pt; rename it if these are the model's weights",
    ),
    Case(
        "no weights",
        "FireRedTeam/FireRedChat#7",
        remove("model.safetensors"),
        r"must hold model\.safetensors or pytorch_model\.bin; it holds no weights; save the model",
    ),
    Case(
        "folder of checkpoints",
        "ThilinaRajapakse/simpletransformers#346",
        in_a_folder,
        r"it holds folders with weights; give one of them, such as checkpoint-500",
    ),
    Case(
        "adapter",
        "huggingface/peft#309, huggingface/peft#577",
        write("adapter_config.json", "{}"),
        r"must hold a whole model, it holds an adapter \(adapter_config\.json\); call PeftModel\.merge_and_unload\(\)",
    ),
    Case("no config", "huggingface/transformers#6368", remove("config.json"), r"must hold config\.json; it does not"),
    Case(
        "truncated config", "huggingface/transformers#28670", cut("config.json"), r"config\.json must be JSON: .*; copy"
    ),
    Case("config of another kind", "JSON", write("config.json", "[]"), r"must be a table of settings, got list; copy"),
    # --- settings -----------------------------------------------------------------------------------------------------
    Case("absolute positions", "vllm-project/vllm#30770", state(position_embedding_type="absolute")),
    Case(
        "relative positions",
        "huggingface/transformers#41170",
        state(position_embedding_type="relative_key"),
        r'position_embedding_type must be left out, got "relative_key"; this version of transformers computes absolute',
    ),
    Case(
        "pruned heads",
        "huggingface/transformers#1077, huggingface/transformers#41417",
        state(pruned_heads={"0": [1]}),
        r'pruned_heads must be left out, got \{"0": \[1\]\}; .* save the model again with all heads',
    ),
    Case("no pruned heads", "huggingface/transformers#1077", state(pruned_heads={})),
    Case(
        "heads pruned unsaid",
        "huggingface/transformers#4490, microsoft/fastformers#12",
        pruned_by_hand,
        r"must have the shape \[.*\] that config\.json gives it, got \[.*\]; correct config\.json",
    ),
    Case(
        "decoder",
        "huggingface/transformers#12704",
        state(is_decoder=True),
        r"is_decoder must be left out, got true; aebert runs encoders only",
    ),
    Case(
        "cross-attention",
        "huggingface/transformers#4517",
        state(add_cross_attention=True),
        r"add_cross_attention must be left out, got true; aebert runs encoders only",
    ),
    Case(
        "quantized",
        "huggingface/lighteval#200, bitsandbytes-foundation/bitsandbytes#80",
        state(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}),
        r"quantization_config must be left out, got .*; aebert starts from float weights; call model\.dequantize\(\)",
    ),
    Case(
        "int8 without a word",
        "bitsandbytes-foundation/bitsandbytes#80",
        as_dtype(torch.int8),
        r"must be of floating point, got torch\.int8; save the model before quantization",
    ),
    Case(
        "code of its own",
        "embeddings-benchmark/mteb#1060, MAGICS-LAB/DNABERT_2#9",
        state(auto_map={"AutoModel": "bert_layers.BertModel"}),
        r"auto_map must be left out, got .*; aebert doesn't run a model's own code",
    ),
    Case(
        "setting of another family",
        "huggingface/transformers#4569",
        state(num_hidden_groups=4),
        r"num_hidden_groups must be a setting that .* follows, got 4, which transformers .* ignores; remove it if",
    ),
    Case(
        "activation under BERT's name",
        "waybarrios/vllm-mlx#486",
        state(hidden_act="relu"),
        r'hidden_act must be a setting that distilbert follows, got "relu", which transformers .* ignores',
        families=("distilbert",),
    ),
    Case(
        "unknown activation",
        "secretflow/spu#969",
        lambda folder: folder.state(**{"activation" if folder.family == "distilbert" else "hidden_act": "quad"}),
        r"must be an activation of transformers, got 'quad'; correct config\.json",
    ),
    Case(
        "number as text",
        "YAML 1.1 reads 1e-12 as text",
        state(layer_norm_eps="1e-12"),
        r"layer_norm_eps.* expected float, got str .*; correct config\.json",
        families=("bert", "roberta", "electra", "mobilebert"),
    ),
    Case(
        "number that is none",
        "Python json.dumps(float('nan'))",
        state(layer_norm_eps=math.nan),
        r"layer_norm_eps must be a finite number, got nan; copy config\.json again",
        families=("bert", "roberta", "electra", "mobilebert"),
    ),
    Case(
        "keys of its owner",
        "google-research/bert config with directionality",
        state(directionality="bidi", my_run=7),
        notes="not read: my_run",
    ),
    Case(
        "outputs for debugging",
        "huggingface/transformers#3308",
        state(output_hidden_states=True, output_attentions=True, return_dict=False, torchscript=True),
    ),
    Case("flash attention", "m87-labs/moondream#119", state(attn_implementation="flash_attention_2")),
    Case("chunked layers", "transformers apply_chunking_to_forward", state(chunk_size_feed_forward=3)),
    Case("half-precision dtype", "transformers dtype", state(dtype="float16", torch_dtype="float16")),
    Case(
        "pruned by aebert",
        "aebert sub-network",
        lambda folder: folder.state(model_type=f"aebert-{folder.family}"),
        r"model family must be one of .*, got 'aebert-.*'; give the dense model it was pruned from",
    ),
    Case(
        "no family",
        "huggingface/transformers#3308",
        state("model_type"),
        r"model family must be one of bert, .* got 'None'",
    ),
    # --- tensors ------------------------------------------------------------------------------------------------------
    Case(
        "fewer layers than weights",
        "lovit/KoBERTScore#20, huggingface/transformers#2048",
        half_an_encoder,
        r"weights must be those of a \w+ as config\.json describes it, .*layer\.1\..* are not; correct config\.json",
    ),
    Case(
        "more layers than weights",
        "huggingface/transformers#3308, huggingface/sentence-transformers#1608",
        one_layer_more,
        r"weights must hold all of a \w+, .*layer\.2\..* are missing; save the whole model",
    ),
    Case(
        "one weight missing",
        "intel/intel-extension-for-transformers#152",
        lambda folder: without(
            folder.first("layer.1.output.dense.bias" if folder.family != "distilbert" else "layer.1.ffn.lin2.bias")
        )(folder),
        r"weights must hold all of a \w+, \S+ is missing; save the whole model",
    ),
    Case(
        "DataParallel",
        "pytorch/pytorch#9176, abhishekkrthakur/bert-sentiment#1",
        wrap("module."),
        r"are not; save the model inside the wrapper that adds 'module\.', such as model\.module of DataParallel",
    ),
    Case(
        "torch.compile",
        "pytorch/pytorch#101107, karpathy/nanoGPT#325",
        wrap("_orig_mod."),
        r"save the model inside the wrapper that adds '_orig_mod\.'",
    ),
    Case(
        "Lightning module",
        "Lightning-AI/pytorch-lightning#17604",
        wrap("model."),
        r"save the model inside the wrapper that adds 'model\.'",
    ),
    Case(
        "LoRA tensors",
        "huggingface/peft#1678, huggingface/sentence-transformers#3980",
        lora,
        r"lora_A.* are not; merge the adapter with PeftModel\.merge_and_unload\(\)",
    ),
    Case(
        "CRF on top",
        "neuralmind-ai/portuguese-bert#22",
        add("crf.transitions", torch.zeros(3, 3)),
        r"weights must be those of a \w+ as config\.json describes it, crf\.transitions is not",
        kind="ner",
    ),
    Case(
        "another family's tensors",
        "brightmart/roberta_zh#68",
        of_other_family,
        r"(weights must be those of a \w+ as config\.json describes it|must be a setting that bert follows)",
    ),
    Case(
        "encoder without its name",
        "huggingface/transformers#217",
        lambda folder: rename(lambda name: name.removeprefix(folder.encoder))(folder),
    ),
    Case(
        "a tensor twice",
        "huggingface/transformers#217",
        lambda folder: add(folder.first("word_embeddings.weight").removeprefix(folder.encoder), torch.ones(2, 2))(
            folder
        ),
        r"weights must hold each tensor once, they hold .*word_embeddings\.weight twice",
    ),
    Case(
        "old names of norms",
        "huggingface/transformers#11809, huggingface/transformers#35615",
        old_layer_norms,
    ),
    Case("stored position ids", "neuspell/neuspell#93", positions_from(0)),
    Case(
        "other position ids",
        "neuspell/neuspell#93",
        positions_from(1),
        r"position_ids must count from 0, it doesn't, and transformers ignores it",
    ),
    Case(
        "resized embeddings",
        "huggingface/transformers#12763",
        lambda folder: folder.state(vocab_size=folder.stated["vocab_size"] + 2),
        r"word_embeddings\.weight must have the shape \[\d+, \d+\] that config\.json gives it, got",
    ),
    Case(
        "ZeRO-3 parts",
        "huggingface/transformers#20082, huggingface/transformers#17336",
        lambda folder: folder.rewrite(lambda name, tensor: {name: torch.empty(0)}),
        r"got \[0\]; gather the parts that DeepSpeed or FSDP keeps",
    ),
    Case(
        "NaN",
        "huggingface/sentence-transformers#3233, ageron/handson-mlp#36",
        poison(math.nan),
        r"weights must be finite numbers, \S+ has others \(NaN or infinite\); train the model again",
    ),
    Case("infinite", "microsoft/nnfusion#156", poison(math.inf), r"weights must be finite numbers"),
    Case(
        "too large for float32",
        "float64 checkpoints",
        both(as_dtype(torch.float64), poison(1e300)),
        r"weights must be finite numbers",
    ),
    Case(
        "numbers that overflow",
        "huggingface/transformers#11327",
        poison(3e38),
        r"outputs for a short text must be 3 finite numbers, got",
        families=("bert", "distilbert"),
    ),
    Case(
        "no pooler",
        "huggingface/transformers#8887",
        without("pooler"),
        r"weights must hold all of a \w+ForSequenceClassification, .*pooler\.dense\.\w+.* are missing",
        families=POOLED,
    ),
    Case(
        "no dense layer before the output",
        "huggingface/transformers#8887",
        without("classifier.dense"),
        r"classifier\.dense\.\w+.* are missing",
        families=("roberta", "electra"),
    ),
    Case(
        "no pre_classifier",
        "huggingface/transformers#8887",
        without("pre_classifier"),
        r"pre_classifier\.\w+.* are missing",
        families=("distilbert",),
    ),
    Case(
        "no classifier",
        "huggingface/peft#577",
        without("classifier."),
        r"weights must hold all of a \w+ForSequenceClassification, .*classifier\.\w+.* are missing",
    ),
    # --- output layers ------------------------------------------------------------------------------------------------
    Case(
        "encoder alone",
        "huggingface/transformers#180",
        saved_as("Model"),
        notes=r"the output layer is new: \w+Model has no output layer for classification",
        order=None,
        families=tuple(FAMILIES),
    ),
    Case(
        "masked language model",
        "huggingface/transformers#5421, huggingface/transformers#339",
        saved_as("ForMaskedLM"),
        notes=r"the output layer is new: \w+ForMaskedLM has no output layer for classification",
        order=None,
    ),
    Case(
        "pre-training heads under another name",
        "huggingface/transformers#8887, google-bert/bert-base-uncased names BertForMaskedLM",
        both(
            saved_as("ForPreTraining"),
            lambda folder: folder.state(
                architectures=[folder.stated["architectures"][0].replace("PreTraining", "MaskedLM")]
            ),
        ),
        notes=r"the output layer is new: \w+ForMaskedLM has no output layer",
        order=None,
        families=("bert", "electra", "mobilebert"),
    ),
    Case(
        "encoder alone with never",
        "huggingface/transformers#180",
        saved_as("Model"),
        r"\w+Model has no output layer for classification; choose another checkpoint, or set dense\.train to auto",
        options={"train": "never"},
    ),
    Case(
        "question answering",
        "huggingface/transformers#10450",
        saved_as("ForQuestionAnswering"),
        notes=r"the output layer is new: \w+ForQuestionAnswering has no output layer for classification",
        order=None,
    ),
    Case(
        "multiple choice for scores",
        "Ethan-yt/guwenbert#11",
        saved_as("ForMultipleChoice"),
        kind="regression",
        notes=r"the output layer is new: \w+ForMultipleChoice has no output layer for regression",
        order=None,
    ),
    Case(
        "tagger for sentences",
        "huggingface/transformers#8292",
        saved_as("ForTokenClassification", num_labels=3),
        notes=r"the output layer is new: \w+ForTokenClassification has no output layer for classification",
        order=None,
    ),
    Case(
        "sentences for tags",
        "ThilinaRajapakse/simpletransformers#255",
        nothing,
        spec=NER,
        notes=r"the output layer is new: \w+ForSequenceClassification has no output layer for ner",
        order=None,
    ),
    Case(
        "a classifier under an encoder's name",
        "huggingface/transformers#3308",
        mixed_head,
        r"weights must be those of a \w+Model as config\.json describes it, .*classifier.* are not",
    ),
    Case(
        "no class named",
        "Hugging Face configs before 2020 have no architectures",
        state("architectures"),
        r"classifier.* are not; name the class of the model in architectures of config\.json",
    ),
    Case(
        "class of somebody else",
        "neuralmind-ai/portuguese-bert#22, huggingface/transformers#339",
        state(architectures=["BertForMultiLabelSequenceClassification"]),
        r"architectures must name one of .*, got BertForMultiLabelSequenceClassification; if the model computes what",
    ),
    Case(
        "class of another family",
        "huggingface/transformers#3308",
        state(architectures=["AlbertForSequenceClassification"]),
        r"architectures must name one of .*, got AlbertForSequenceClassification",
    ),
    Case(
        "class of TensorFlow",
        "huggingface/transformers#8292",
        lambda folder: folder.state(architectures=["TF" + folder.stated["architectures"][0]]),
    ),
    Case(
        "scores for classes",
        "ThilinaRajapakse/simpletransformers#1370",
        nothing,
        kind="regression",
        spec=CLASSES,
        notes=r"the output layer is new: the checkpoint predicts 1 scores, task toy is classification",
        order=None,
    ),
    Case(
        "classes for scores",
        "ThilinaRajapakse/simpletransformers#1370",
        nothing,
        spec=SPECS["regression"],
        notes=r"the output layer is new: the checkpoint predicts 3 classes, task toy is regression",
        order=None,
    ),
    Case(
        "several scores",
        "transformers problem_type",
        state(problem_type="regression"),
        notes=r"the output layer is new: the checkpoint predicts 3 scores, task toy is classification",
        order=None,
    ),
    Case(
        "several labels at once",
        "google-research/bert#371, appvision-ai/fast-bert#224",
        state(problem_type="multi_label_classification"),
        r"problem_type must be single_label_classification for task toy, got multi_label_classification; set",
    ),
    Case(
        "several labels at once, trained anew",
        "google-research/bert#371",
        state(problem_type="multi_label_classification"),
        options={"train": "always"},
        notes=r"the output layer is new: problem_type must be single_label_classification",
        order=None,
    ),
    Case(
        "unknown problem", "transformers problem_type", state(problem_type="multiclass"), r"problem_type must be one of"
    ),
    Case(
        "another number of labels",
        "huggingface/transformers#14218, huggingface/transformers#20327",
        labels("anger", "joy", "fear"),
        spec=TWO,
        notes=r"the output layer is new: the checkpoint has 3 outputs \(anger, joy, fear\), task toy has 2",
        order=None,
    ),
    Case(
        "another number of labels with never",
        "huggingface/transformers#135",
        labels("anger", "joy", "fear"),
        r"the checkpoint has 3 outputs .*, task toy has 2 .*; choose another checkpoint, or set dense\.train to auto",
        spec=TWO,
        options={"train": "never"},
    ),
    Case(
        "more labels than the data has",
        "ThilinaRajapakse/simpletransformers#1310",
        nothing,
        r"outputs must be the labels of task toy \(bad, good\), got bad, so-so, good; set task\.labels to all",
        spec=TWO,
    ),
    # --- labels -------------------------------------------------------------------------------------------------------
    Case(
        "another order",
        "huggingface/optimum#197, neuml/txtai#1216",
        labels("good", "bad", "so-so"),
        order=(1, 2, 0),
    ),
    Case(
        "another case",
        "roberta-large-mnli writes CONTRADICTION (huggingface/optimum#197)",
        labels("GOOD", "Bad", "So-So"),
        order=(1, 2, 0),
        notes=r"outputs of the checkpoint were taken for labels of the task: Bad = bad, So-So = so-so, GOOD = good",
    ),
    Case(
        "labels that differ in case only",
        "huggingface/setfit#462",
        labels("spam", "ham", "Spam"),
        spec=CLASSES.with_labels(("Spam", "ham", "spam")),
        order=(2, 1, 0),
    ),
    Case(
        "labels that differ in case only, unclear",
        "huggingface/setfit#462",
        labels("SPAM", "ham", "spam"),
        r"outputs must be the labels of task toy \(Spam, ham, spam\), got SPAM, ham, spam; set model\.labels",
        spec=CLASSES.with_labels(("Spam", "ham", "spam")),
    ),
    Case(
        "no names",
        "QData/TextAttack#684, DFKI-NLP/thermostat#10, huggingface/transformers#10386",
        unnamed,
        r"outputs must have the names of the labels of task toy \(bad, so-so, good\), got LABEL_0 to LABEL_2; set",
    ),
    Case("no names, but stated labels", "huggingface/nn_pruning#32", unnamed, options={"labels_stated": True}),
    Case(
        "no names, but named by the user",
        "QData/TextAttack#684",
        unnamed,
        options={"labels": ("good", "bad", "so-so")},
        order=(1, 2, 0),
    ),
    Case("no names and no need", "huggingface/transformers#3093", unnamed, spec=NUMBERS),
    Case(
        "no names for tags",
        "huggingface/transformers#4262",
        unnamed,
        r"outputs must have the names",
        kind="ner",
        options={"labels_stated": True},
    ),
    Case(
        "numbers in another order",
        "transformers id2label",
        state("label2id", id2label={"0": "LABEL_2", "1": "LABEL_1", "2": "LABEL_0"}),
        r"outputs must be the labels of task toy .*, got LABEL_2, LABEL_1, LABEL_0; set model",
    ),
    Case(
        "a number of labels that is none",
        "transformers num_labels",
        state("id2label", "label2id", num_labels="three"),
        r"num_labels must be a positive integer, got 'three'",
    ),
    Case(
        "tables that contradict each other, trained anew",
        "huggingface/transformers#28589",
        state(label2id={"good": 0, "so-so": 1, "bad": 2}),
        options={"train": "always"},
        notes=r"the output layer is new: id2label and label2id must agree",
        order=None,
    ),
    Case(
        "names by label2id alone",
        "huggingface/transformers#28589",
        state("id2label", label2id={"good": 0, "bad": 1, "so-so": 2}),
        order=(1, 2, 0),
    ),
    Case("numbers as names", "huggingface/setfit#462", labels(2, 0, 1), spec=NUMBERS, order=(1, 2, 0)),
    Case("ids out of order", "neuml/txtai#1216", state("label2id", id2label={"2": "good", "0": "bad", "1": "so-so"})),
    Case(
        "other names",
        "facebookresearch/XNLI#11",
        labels("negative", "neutral", "positive"),
        r"outputs must be the labels of task toy \(bad, so-so, good\), got negative, neutral, positive; set",
    ),
    Case(
        "other names, translated by the user",
        "facebookresearch/XNLI#11",
        labels("positive", "neutral", "negative"),
        options={"labels": ("good", "so-so", "bad")},
        order=(2, 1, 0),
    ),
    Case(
        "names that the user contradicts",
        "amaiya/ktrain#277",
        nothing,
        r"model\.labels must not contradict the checkpoint, whose outputs are bad, so-so, good, got good, so-so, bad",
        options={"labels": ("good", "so-so", "bad")},
    ),
    Case(
        "too few names",
        "thuml/Time-Series-Library#570",
        unnamed,
        r"model\.labels must be 3 different names",
        options={"labels": ("bad", "good")},
    ),
    Case(
        "tables that contradict each other",
        "huggingface/transformers#28589, huggingface/pytorch-image-models#2080",
        state(label2id={"good": 0, "so-so": 1, "bad": 2}),
        r"id2label and label2id must agree, got bad, so-so, good and good, so-so, bad; correct config\.json",
    ),
    Case(
        "a hole in the ids",
        "transformers id2label",
        state("label2id", id2label={"0": "bad", "2": "good", "3": "so-so"}),
        r"id2label must have the ids 0 to 2, each once",
    ),
    Case(
        "a name twice",
        "transformers id2label",
        state("label2id", id2label={"0": "bad", "1": "bad", "2": "good"}),
        r"name every output differently, got 'bad' twice",
    ),
    Case(
        "a list of names",
        "transformers id2label",
        state("label2id", id2label=["bad", "so-so", "good"]),
        r"id2label must be a table from ids to names, got \[",
    ),
    Case(
        "tables the wrong way round",
        "transformers id2label",
        state(id2label={"bad": 0, "so-so": 1, "good": 2}),
        r"id2label must be a table from ids to names",
    ),
    Case(
        "no name",
        "transformers id2label",
        state("label2id", id2label={"0": None, "1": "so-so", "2": "good"}),
        r"id2label must name every output, got None",
    ),
    Case(
        "names of fewer outputs",
        "huggingface/transformers#3093",
        state("label2id", id2label={"0": "LABEL_0", "1": "LABEL_1"}, _num_labels=3),
        r"num_labels must be the number of labels, 2, got 3",
    ),
    Case(
        "names of more outputs than weights",
        "huggingface/transformers#135",
        labels("bad", "so-so", "good", "great"),
        r"(weight|bias) must have the shape \[4(, 32)?\] that config\.json gives it, got \[3(, 32)?\]",
        spec=CLASSES.with_labels(("bad", "so-so", "good", "great")),
    ),
    Case(
        "tags in another order",
        "huggingface/transformers#4816",
        labels("B-PER", "I-PER", "O"),
        kind="ner",
        order=(2, 0, 1),
    ),
    Case(
        "tags with underscores",
        "huggingface/transformers#5970",
        labels("O", "B_PER", "I_PER"),
        kind="ner",
        notes=r"B_PER = B-PER, I_PER = I-PER",
    ),
    Case(
        "tags with a suffix",
        "huggingface/transformers#11680",
        labels("o", "PER-B", "PER-I"),
        notes=r"o = O, PER-B = B-PER, PER-I = I-PER",
        kind="ner",
    ),
    Case(
        "tags in small letters",
        "huggingface/transformers#11680",
        labels("O", "b-per", "i-per"),
        notes=r"b-per = B-PER, i-per = I-PER",
        kind="ner",
    ),
    Case(
        "ends of entities too",
        "JohnSnowLabs/spark-nlp#831",
        saved_as("ForTokenClassification", id2label=dict(enumerate(["O", "B-PER", "I-PER", "E-PER", "S-PER"]))),
        r"which also mark the ends of entities \(BIOES or BILOU\); set dense\.train to always",
        kind="ner",
    ),
    Case(
        "types without beginnings",
        "huggingface/transformers#4262",
        saved_as("ForTokenClassification", id2label={0: "O", 1: "PER"}),
        r"which don't tell where an entity begins; set dense\.train to always",
        kind="ner",
    ),
    Case(
        "a tag that no row had",
        "huggingface/transformers#4262",
        saved_as("ForTokenClassification", id2label=dict(enumerate(["O", "B-PER", "I-PER", "I-LOC"]))),
        r"which lack B-LOC; set dense\.train to always",
        kind="ner",
        spec=PLACES,
    ),
    Case(
        "more types than the data has",
        "asahi417/tner#37",
        saved_as("ForTokenClassification", id2label=dict(enumerate(PLACES.tags))),
        r"outputs must be the labels of task toy \(O, B-PER, I-PER\), got .*B-LOC.*; set task\.labels to all labels",
        kind="ner",
    ),
    # --- tokenizers ---------------------------------------------------------------------------------------------------
    Case(
        "no tokenizer",
        "huggingface/transformers#28670, PhoebusSi/Alpaca-CoT#35",
        remove("tokenizer.json", "tokenizer_config.json"),
        r"must hold the tokenizer \(tokenizer\.json, vocab\.txt, or vocab\.json and merges\.txt\), it has no",
    ),
    Case(
        "settings of the tokenizer alone",
        "fractalego/zero-shot-relation-extractor#1",
        remove("tokenizer.json"),
        r"it has no vocabulary; save it there",
    ),
    Case(
        "vocabulary alone",
        "google-research/bert vocab.txt",
        both(vocabulary(), remove("tokenizer_config.json")),
        families=WORDPIECE,
    ),
    Case("tokenizer.json alone", "skeskinen/bert.cpp#31", remove("tokenizer_config.json")),
    Case(
        "empty vocabulary",
        "huggingface/tokenizers#56",
        both(vocabulary(), write("vocab.txt", "")),
        r"vocab\.txt must not be empty",
        families=WORDPIECE,
    ),
    Case(
        "vocabulary in git-lfs",
        "turboderp/exllama#242",
        write("tokenizer.json", LFS),
        r"tokenizer\.json is a pointer of git-lfs",
    ),
    Case(
        "truncated tokenizer.json",
        "turboderp/exllama#242",
        cut("tokenizer.json"),
        r"tokenizer\.json must be JSON: .*; copy it again",
    ),
    Case(
        "no merges",
        "huggingface/tokenizers#458",
        bytes_without_merges,
        r"vocab\.json must have merges\.txt beside it",
        families=("roberta",),
    ),
    Case(
        "vocabulary without [UNK]",
        "huggingface/tokenizers#168",
        vocabulary(lambda pieces: [one for one in pieces if one != "[UNK]"]),
        r"tokenizer (can't be loaded: .*\[UNK\]|must have the vocabulary of its files)",
        families=WORDPIECE,
    ),
    Case(
        "vocabulary without [SEP]",
        "huggingface/tokenizers#337",
        vocabulary(lambda pieces: [one for one in pieces if one != "[SEP]"]),
        r"must have the vocabulary of its files, transformers gives '\[SEP\]' the id",
        families=WORDPIECE,
    ),
    Case(
        "shuffled vocabulary",
        "huggingface/transformers#12763",
        other_pieces,
        r"tokenizer\.json and vocab\.txt must list the same vocabulary, they differ in",
        families=WORDPIECE,
    ),
    Case(
        "words added to the tokenizer",
        "huggingface/transformers#12763, mickeysjm/R-BERT#5",
        add_tokens,
        r"ids of the tokenizer must be below \d+, the rows of the model's embeddings, 'omicron' has",
    ),
    Case(
        "spare embeddings",
        "axolotl-ai-cloud/axolotl#2257",
        vocabulary(lambda pieces: pieces[:-2]),
        notes=r"the model has embeddings for 57 pieces, the tokenizer makes 55 of them",
        families=WORDPIECE,
    ),
    Case(
        "cased vocabulary, small letters",
        "dmis-lab/biobert-pytorch#24, EmilyAlsentzer/clinicalBERT#26, huggingface/transformers#3823",
        both(vocabulary(cased), remove("tokenizer_config.json")),
        r"must keep capitals, as its vocabulary has them",
        families=WORDPIECE,
    ),
    Case(
        "cased vocabulary, capitals kept",
        "castorini/anserini-notebooks#1",
        both(vocabulary(cased), lambda folder: tokenizer_of(folder, do_lower_case=False)),
        families=WORDPIECE,
    ),
    Case(
        "uncased vocabulary, capitals kept",
        "asyml/forte#504, huggingface/transformers#131",
        lambda folder: tokenizer_of(folder, do_lower_case=False),
        r"must make small letters of capitals, as its vocabulary has none",
        families=WORDPIECE,
    ),
    Case(
        "another class of tokenizer",
        "huggingface/transformers#45701, generative-computing/mellea#947",
        lambda folder: tokenizer_of(folder, tokenizer_class="RobertaTokenizer"),
        r"must have the vocabulary of its files, transformers gives '.*' the id",
        families=WORDPIECE,
    ),
    Case(
        "a step that transformers 5 leaves out",
        "huggingface/transformers#45812",
        own_normalizer,
        r"must be as tokenizer\.json describes it, transformers .* reads .* otherwise",
    ),
    Case(
        "nothing around the text",
        "huggingface/tokenizers#695",
        no_template,
        r"the tokenizer must (have a \w+_token|make .* of two texts)",
    ),
    Case(
        "padding of another model",
        "huggingface/transformers#15292",
        state(pad_token_id=3),
        r"pad_token_id of config\.json must be the tokenizer's id of .*, \d, got 3; copy the tokenizer",
    ),
    Case(
        "cut on the left",
        "transformers truncation_side",
        lambda folder: tokenizer_of(folder, truncation_side="left"),
        r"truncation_side must be right, as bundles cut texts there, got left",
    ),
    Case("padded on the left", "transformers padding_side", lambda folder: tokenizer_of(folder, padding_side="left")),
    Case(
        "Japanese words",
        "huggingface/transformers#12381",
        both(
            vocabulary(),
            lambda folder: tokenizer_of(folder, tokenizer_class="BertJapaneseTokenizer", word_tokenizer_type="basic"),
        ),
        r"(must be a fast one \(with a tokenizer\.json\), as bundles need, got BertJapaneseTokenizer|can't be loaded)",
        families=("bert",),
    ),
    Case(
        "tokenizer with code of its own",
        "PrithivirajDamodaran/Styleformer#6",
        lambda folder: tokenizer_of(folder, auto_map={"AutoTokenizer": ["x.Y", None]}),
        r"tokenizer_config\.json must not name code of its own \(auto_map\)",
    ),
    # --- lengths ------------------------------------------------------------------------------------------------------
    Case("as long as the positions", "huggingface/transformers#1363", nothing, options={"max_length": 64}),
    Case(
        "longer than the positions",
        "huggingface/transformers#14243, rinnakk/japanese-pretrained-models#3",
        nothing,
        r"data\.max_length must be at most 64, the positions of the model, got 65; lower it",
        options={"max_length": 65},
    ),
    Case(
        "longer than the tokenizer states",
        "huggingface/transformers#14243",
        lambda folder: tokenizer_of(folder, model_max_length=32),
        notes=r"states a length of 32 tokens \(model_max_length\); data\.max_length is 64",
        options={"max_length": 64},
    ),
    Case(
        "pairs with one token type",
        "Ethan-yt/guwenbert#11, huggingface/transformers#1538",
        token_types,
        r"type_vocab_size must be 2 for pairs of texts, got 1",
        spec=PAIRS,
        families=("bert", "electra", "mobilebert"),
    ),
    Case(
        "pairs without token types",
        "huggingface/transformers#2432",
        nothing,
        spec=PAIRS,
        families=("roberta", "distilbert"),
    ),
]

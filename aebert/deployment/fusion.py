"""Makes files in which attention, GELUs, norms and embeddings are single nodes of ONNX Runtime.

Attention is fused while the model is traced: transformers calls an attention function by its name, and the one that is
registered here leaves a `MultiHeadAttention` node with the number of heads of its own layer. To search the finished
graph for attention, as ONNX Runtime does, would write the dense model's number of heads into every layer, which is
silently wrong for sub-networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_by_fusion
from torch import nn
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from aebert.deployment.embeddings import fuse_embeddings
from aebert.deployment.exported import NO_EMBEDDINGS, Fused, Fusion
from aebert.deployment.graph import drop_unused, load_onnx, op_counts, producers, replace_input, save_onnx
from aebert.deployment.onnx_export import export_onnx
from aebert.files import replacing
from aebert.models.families import family_of

ATTENTION = "aebert_multi_head_attention"  # in transformers' registries


def fuse_onnx(
    model: PreTrainedModel,
    input_names: Sequence[str],
    path: Path,
    *,
    plain: Path,
    opset: int = 18,
    embeddings: bool = True,
) -> Fusion:
    """Write `model` as `export_onnx` does, but with fused nodes; what was fused is counted against the file `plain`.

    plain: the same model as `export_onnx` writes it. embeddings: whether to fuse these too; not in a file that will be
    quantized, since the quantized node ignores the positions that it gets and has an 8-bit norm.

    Raises: ExportError when the exporter fails, `plain` is missing, or the disk refuses.
    """
    before = load_onnx(plain)
    with replacing(path) as written:
        export_onnx(model, input_names, written, opset=opset, attention_function=ATTENTION)
        graph = _optimized(onnx.load(written))
    reason = fuse_embeddings(graph) if embeddings else "embeddings are left apart, to be quantized"
    save_onnx(graph, path)
    return _fusion(model, before, graph, reason)


def add_embeddings(source: Path, target: Path) -> str | None:
    """Write `source` with its embeddings fused. Returns None, or why they can't be fused and `target` is unchanged."""
    graph = load_onnx(source)
    reason = fuse_embeddings(graph)
    save_onnx(graph, target)
    return reason


def _optimized(graph: onnx.ModelProto) -> onnx.ModelProto:
    _cut_reshapes(graph)
    options = FusionOptions("bert")
    options.enable_attention = options.enable_embed_layer_norm = False
    done: onnx.ModelProto = optimize_by_fusion(graph, "bert", optimization_options=options).model
    # ONNX Runtime infers shapes again; those recorded for nodes that are gone would contradict it
    del done.graph.value_info[:]
    return done


def _cut_reshapes(graph: onnx.ModelProto) -> None:
    """Drop the split into heads before each attention and the join after it, so that both are [batch, seq, width]."""
    made = producers(graph)
    for node in [node for node in graph.graph.node if node.op_type == "MultiHeadAttention"]:
        for place in range(3):
            node.input[place] = _before_reshapes(node.input[place], made)
    for node in [node for node in graph.graph.node if node.op_type == "Reshape"]:
        source = _before_reshapes(node.output[0], made)
        if source in made and made[source].op_type == "MultiHeadAttention":
            replace_input(graph, node.output[0], source)
    drop_unused(graph)


def _before_reshapes(name: str, made: dict[str, onnx.NodeProto]) -> str:
    while name in made and made[name].op_type == "Reshape":
        name = made[name].input[0]
    return name


def _fusion(
    model: PreTrainedModel, before: onnx.ModelProto, after: onnx.ModelProto, embedding_reason: str | None
) -> Fusion:
    was, now = op_counts(before), op_counts(after)
    has_tables = was["Gather"] > 0
    embedded = now["EmbedLayerNormalization"]
    norm_of_embeddings = 1 if was["LayerNormalization"] else 0
    return Fusion(
        attentions=Fused(now["MultiHeadAttention"], was["Softmax"]),
        gelus=Fused(now["Gelu"] + now["BiasGelu"] + now["FastGelu"], was["Gelu"] + was["Erf"]),
        norms=Fused(now["SkipLayerNormalization"], was["LayerNormalization"] - norm_of_embeddings),
        embeddings=Fused(embedded, int(has_tables)),
        notes=tuple(_notes(model, before, after, embedding_reason)),
    )


def _notes(
    model: PreTrainedModel, before: onnx.ModelProto, after: onnx.ModelProto, embedding_reason: str | None
) -> Iterator[str]:
    family = family_of(model.config)
    empty = [
        str(layer + 1)
        for layer, block in enumerate(family.attention_blocks(model))
        if block.inputs[0].module.out_features == 0
    ]
    if empty:
        yield f"no attention to fuse in layers {', '.join(empty)}, which keep no head"
    was = op_counts(before)
    if not was["LayerNormalization"]:
        yield f"{family.model_type}'s norms are a product and a sum (NoNorm): no kernel joins them with the sum before"
    if not was["Gelu"] + was["Erf"]:
        yield f"no GELU to fuse: its activation is {_activation(model)}"
    for node in after.graph.node:
        if node.op_type == "LayerNormalization" and not _is_embedding_norm(node):
            yield f"{_module(node)} is not fused with the sum before it: {_why_no_skip(node, after)}"
    if embedding_reason:
        yield f"{NO_EMBEDDINGS}{embedding_reason}"


def _activation(model: PreTrainedModel) -> str:
    return str(getattr(model.config, "hidden_act", None) or model.config.activation)


def _is_embedding_norm(node: onnx.NodeProto) -> bool:
    return "embeddings" in node.input[1]


def _module(node: onnx.NodeProto) -> str:
    return node.input[1].removeprefix("model.").rpartition(".")[0] or str(node.name)


def _why_no_skip(node: onnx.NodeProto, graph: onnx.ModelProto) -> str:
    source = producers(graph).get(node.input[0])
    if source is None or source.op_type != "Add":
        return f"it norms the output of {source.op_type if source is not None else 'an input'}"
    return "the block before it is empty, so that the sum adds a constant"


def _attention(
    module: nn.Module,
    query: torch.Tensor,  # [batch, heads, seq, head_size], as key and value
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # [batch, seq], int32
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    batch, heads, seq, head_size = query.shape
    if heads == 0:  # there is nothing to attend with, and the output projection reads only the shape
        return query.transpose(1, 2), None
    joined = [tensor.transpose(1, 2).reshape(batch, seq, heads * head_size) for tensor in (query, key, value)]
    output = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (*joined, None, attention_mask),
        # transformers adds this to the scores of padding; the operator's default is -10000
        {"num_heads": heads, "scale": float(scaling), "mask_filter_value": torch.finfo(torch.float32).min},
        dtype=query.dtype,
        shape=(batch, seq, heads * head_size),
        version=1,
    )
    return output.reshape(batch, seq, heads, head_size), None


def _mask(attention_mask: torch.Tensor | None = None, **_: Any) -> torch.Tensor | None:
    """The mask as it comes in, since the attention node expands it itself."""
    return None if attention_mask is None else attention_mask.to(torch.int32)


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, _mask)

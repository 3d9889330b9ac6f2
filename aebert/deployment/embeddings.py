"""Fuses the embeddings of a graph, with their sum and its norm, into one node."""

from __future__ import annotations

import onnx

from aebert.deployment.graph import attributes, drop_unused, producers, replace_input, weight_names

_FUSED = "EmbedLayerNormalization"


def fuse_embeddings(model: onnx.ModelProto, input_ids: str = "input_ids") -> str | None:
    """Replace word, position and token type look-ups and their norm by one node, in place.

    ONNX Runtime's own optimizer knows only the graphs of older exporters, and positions that count from 0. Here the
    node's last input is the positions that the graph computes, which depend on padding in RoBERTa.

    Returns: None, or why it can't be done.
    """
    made = producers(model)
    norm = next((node for node in model.graph.node if node.op_type == "LayerNormalization"), None)
    if norm is None:
        return "the embeddings have no layer norm"
    tables = _tables(norm.input[0], made, weight_names(model))
    if tables is None:
        return "the embeddings are no sum of two or three table look-ups"
    words = next((node for node in tables if node.input[1] == input_ids), None)
    if words is None:
        return "no table is looked up by the token ids alone"
    others = [node for node in tables if node is not words]
    positions = next((node for node in others if "position" in node.input[0]), None)
    if positions is None:
        return "no table is named as one of positions"
    types = next((node for node in others if node is not positions), None)
    _replace(model, norm, words, positions, types)
    return None


def _tables(name: str, made: dict[str, onnx.NodeProto], weights: set[str]) -> list[onnx.NodeProto] | None:
    """The look-ups that `name` is the sum of; None when it is the sum of anything else."""
    node = made.get(name)
    if node is None:
        return None
    if node.op_type == "Gather":
        return [node] if node.input[0] in weights else None
    if node.op_type != "Add":
        return None
    parts = [_tables(one, made, weights) for one in node.input]
    found = [table for part in parts for table in part or ()]
    return found if all(parts) and len(found) <= 3 else None


def _replace(
    model: onnx.ModelProto,
    norm: onnx.NodeProto,
    words: onnx.NodeProto,
    positions: onnx.NodeProto,
    types: onnx.NodeProto | None,
) -> None:
    looked_up = [words, positions, *([types] if types else [])]
    ids = {node.input[1]: f"{node.input[1]}_int32" for node in looked_up}
    casts = [
        onnx.helper.make_node("Cast", [wide], [narrow], f"{_FUSED}_{narrow}", to=onnx.TensorProto.INT32)
        for wide, narrow in ids.items()
    ]
    fused = onnx.helper.make_node(
        _FUSED,
        [
            ids[words.input[1]],
            ids[types.input[1]] if types else "",
            words.input[0],
            positions.input[0],
            types.input[0] if types else "",
            norm.input[1],
            norm.input[2],
            "",  # attention takes care of the mask
            ids[positions.input[1]],
        ],
        [f"{norm.output[0]}_fused", f"{norm.output[0]}_mask_index"],
        _FUSED,
        domain="com.microsoft",
        epsilon=dict(attributes(norm)).get("epsilon", 1e-5),
    )
    place = list(model.graph.node).index(norm)
    for offset, node in enumerate([*casts, fused]):
        model.graph.node.insert(place + offset, node)
    replace_input(model, norm.output[0], fused.output[0])
    drop_unused(model)

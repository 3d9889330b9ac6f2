"""Reads, inspects and tidies ONNX graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx

from aebert.errors import ExportError
from aebert.files import replacing

_WRAPPER = "model."  # of the module that the exporter traces
_OPSET_OF_OTHER_DOMAINS = 1  # ONNX Runtime's own domain has no other


def load_onnx(source: Path) -> onnx.ModelProto:
    """The graph of a file, checked.

    Raises: ExportError when `source` is missing or damaged.
    """
    if not source.is_file():
        raise ExportError(f"{source} must be an ONNX file; there is none (export it first)")
    try:
        model = onnx.load(source)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx share no base class of errors
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"{source} must be a whole ONNX file: {reason} (export it again)") from None
    return model


def save_onnx(model: onnx.ModelProto, path: Path) -> Path:
    """Write a graph as one file, whole or not at all.

    Declares the domains of its nodes in place: ONNX Runtime's optimizer fuses norms and GELUs in a graph without
    attention, which has no other node of that domain, and leaves it undeclared.
    """
    _declare_domains(model)
    with replacing(path) as written:
        onnx.save(model, written)
    return path


def _declare_domains(model: onnx.ModelProto) -> None:
    declared = {opset.domain for opset in model.opset_import}
    for domain in sorted({node.domain for node in model.graph.node} - declared):
        model.opset_import.append(onnx.helper.make_opsetid(domain, _OPSET_OF_OTHER_DOMAINS))


def op_counts(model: onnx.ModelProto) -> Counter[str]:
    """The number of nodes of each operator."""
    return Counter(node.op_type for node in model.graph.node)


def producers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Tensor name → the node that makes it."""
    return {name: node for node in model.graph.node for name in node.output if name}


def weight_names(model: onnx.ModelProto) -> set[str]:
    """Names of the tensors stored in the file."""
    return {tensor.name for tensor in model.graph.initializer}


def layer_names(model: onnx.ModelProto, op_types: Sequence[str]) -> dict[str, str]:
    """Node name → name of the layer, for nodes of these types with weights, in the order of the graph.

    The exporter numbers the weights of products, but keeps the names of biases and tables. A product without a bias of
    its own is called by its node's name.
    """
    weights, found = weight_names(model), {}
    readers = {name: node for node in reversed(model.graph.node) for name in node.input}
    for node in model.graph.node:
        if node.op_type not in op_types or not weights & set(node.input):
            continue
        named = [name for name in node.input if name in weights and "." in name]
        if not named and (reader := readers.get(node.output[0])) is not None:
            named = [name for name in reader.input if name in weights and "." in name]
        found[node.name] = named[0].removeprefix(_WRAPPER).rpartition(".")[0] if named else node.name
    return found


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes whose outputs nothing reads, and weights that nothing reads."""
    while True:
        read = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
        dead = [node for node in model.graph.node if not read & set(node.output)]
        for node in dead:
            model.graph.node.remove(node)
        if not dead:
            break
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)


def replace_input(model: onnx.ModelProto, old: str, new: str) -> None:
    """Let every node that reads `old` read `new`."""
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == old:
                node.input[place] = new


def attributes(node: onnx.NodeProto) -> Iterator[tuple[str, object]]:
    """Names and values of a node's attributes."""
    for attribute in node.attribute:
        yield attribute.name, onnx.helper.get_attribute_value(attribute)

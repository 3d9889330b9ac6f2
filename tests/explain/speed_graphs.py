"""Constructed graphs of one sequence in, logits out, whose blocks are fused or not, wide or narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

HIDDEN = 32


@dataclass
class Builder:
    """Adds nodes one after the other to the value `x` [batch, seq, hidden]."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    value: str = "x0"

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        name = f"x{len(self.nodes) + 1}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, domain=domain, **attributes))
        self.value = name
        return name

    def product(self, inner: int, columns: int) -> str:
        weights = np.random.default_rng(len(self.nodes)).normal(size=(inner, columns)).astype(np.float32) / 8
        return self.add("MatMul", self.value, self.constant(f"w{len(self.nodes)}", weights))

    def ffn(self, width: int, *, fused_norm: bool) -> None:
        before = self.value
        self.product(HIDDEN, width)
        self.add("Relu", self.value)
        self.product(width, HIDDEN)
        ones, zeros = (
            self.constant(f"{kind}{len(self.nodes)}", make(HIDDEN, np.float32)) for kind, make in NORM.items()
        )
        total = self.add("Add", self.value, before)
        if not fused_norm:  # in between, so that ONNX Runtime can't fuse them
            total = self.add("Mul", total, self.constant(f"m{len(self.nodes)}", np.array([1.5], np.float32)))
        self.add("LayerNormalization", total, ones, zeros, axis=-1)

    def attention(self) -> None:
        query = self.value
        self.add("MultiHeadAttention", query, query, query, domain="com.microsoft", num_heads=4)


NORM = {"g": np.ones, "b": np.zeros}


def graph(path: Path, widths: Sequence[int], *, fused_norm: bool = True, attention: bool = False) -> Path:
    """Write a graph of one FFN per width."""
    build = Builder()
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "s"])
    table = build.constant("table", np.random.default_rng(1).normal(size=(8, HIDDEN)).astype(np.float32))
    build.add("Gather", table, "input_ids")
    for width in widths:
        if attention:
            build.attention()
        build.ffn(width, fused_norm=fused_norm)
    build.nodes[-1].output[0] = "logits"
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "s", HIDDEN])
    whole = helper.make_graph(build.nodes, "constructed", [ids], [logits], build.constants)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(whole, opset_imports=domains, ir_version=10), path)
    return path

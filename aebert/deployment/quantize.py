"""The ways to quantize an exported file: ONNX Runtime's quantizers, one frozen value per way, by name."""

from __future__ import annotations

import copy
import logging
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from aebert.deployment.cpu import Cpu, this_cpu
from aebert.deployment.graph import layer_names, load_onnx, save_onnx, weight_names
from aebert.deployment.session import Feed
from aebert.errors import ExportError
from aebert.files import replacing
from aebert.registry import Registry

# The quantizer can't infer the types that fused nodes return; all that it meets are activations.
_OPTIONS = {"DefaultTensorType": onnx.TensorProto.FLOAT}


@dataclass(frozen=True)
class Source:
    """A float32 graph that is ready to be quantized; variants don't change it.

    model: its layers with weights are `MatMul` nodes, as quantizers need them.
    """

    model: onnx.ModelProto = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Source:
        """Read a file, whose embeddings must not be fused.

        Raises: ExportError when the file is missing, damaged, or has fused embeddings.
        """
        model = load_onnx(path)
        if any(node.op_type == "EmbedLayerNormalization" for node in model.graph.node):
            raise ExportError(
                f"{path.name} can't be quantized: its embeddings are fused, and the quantized node would ignore "
                "positions (quantize the file without fused embeddings)"
            )
        # Shapes noted by the exporter contradict the ones inferred after quantization; they are inferred anew.
        del model.graph.value_info[:]
        whole = ONNXModel(model)
        whole.replace_gemm_with_matmul()
        # Without this mark, the quantizer advises to infer shapes and fold constants, which the exporter has done.
        add_pre_process_metadata(whole.model)
        return cls(whole.model)

    @cached_property
    def products(self) -> dict[str, str]:
        """Node name → name of the model's layer, for each product with weights, in the order of the forward pass."""
        return layer_names(self.model, ("MatMul",))

    @cached_property
    def tables(self) -> dict[str, str]:
        """Node name → name of the model's embedding, for each look-up in a table."""
        return layer_names(self.model, ("Gather",))

    @property
    def layers(self) -> dict[str, str]:
        """The tables and products, which are all that can be quantized."""
        return {**self.tables, **self.products}

    def weight_bytes(self, node: str) -> int:
        """The size of the float32 weights of one node of `layers`."""
        (read,) = (one.input for one in self.model.graph.node if one.name == node)
        return sum(4 * math.prod(tensor.dims) for tensor in self.model.graph.initializer if tensor.name in read)


@dataclass(frozen=True)
class QuantizeOptions:
    """What a variant needs besides the graph.

    calibration: batches of the task's own rows, as the graph takes them. nodes: the products and tables to quantize;
    None for all. exclude: those of them that stay float32.
    """

    calibration: Sequence[Feed] = ()
    cpu: Cpu = field(default_factory=this_cpu)
    nodes: frozenset[str] | None = None
    exclude: frozenset[str] = frozenset()

    def chosen(self, names: Iterable[str]) -> list[str]:
        """Those of `names` to quantize."""
        return [name for name in names if (self.nodes is None or name in self.nodes) and name not in self.exclude]


class Variant(Protocol):
    """A way to quantize.

    It writes a whole file at the path, which is in a folder of its own, and changes neither source nor setting.
    """

    def __call__(self, source: Source, path: Path, setting: QuantizeOptions) -> None:
        """Write the quantized graph."""

    def describe(self) -> str:
        """What it does, in a few words."""


@dataclass(frozen=True)
class DynamicInt8:
    """Weights to int8 once; activations to uint8 while running, with the ranges of each batch.

    per_channel: one scale per output of a matrix instead of one per matrix, which is as fast and gives clearly closer
    logits. signed: signed weights, which are faster on x86. Weights have 7 bits where products of 8 bits overflow.
    """

    per_channel: bool = True
    signed: bool = True

    def __call__(self, source: Source, path: Path, setting: QuantizeOptions) -> None:
        """Write the quantized graph."""
        _dynamic(source.model, path, self, setting, setting.chosen(source.layers))

    def describe(self) -> str:
        """What it does, in a few words."""
        weights = "int8" if self.signed else "uint8"
        return f"{weights} weights per {'channel' if self.per_channel else 'matrix'}, activations by batch"


@dataclass(frozen=True)
class StaticInt8:
    """Weights to int8 and activations to uint8 with ranges fixed on calibration rows (QDQ).

    Inputs of products are quantized. Softmax, norms, sums and GELU stay float32, since their ranges are wide and they
    take little time. method: how a range is found; percentile leaves out the outermost 0.001 % of the values.
    """

    method: Literal["minmax", "entropy", "percentile"] = "minmax"
    per_channel: bool = True

    def __call__(self, source: Source, path: Path, setting: QuantizeOptions) -> None:
        """Write the quantized graph."""
        if not setting.calibration:
            raise ExportError("static quantization needs calibration rows, got none; raise deploy.calibration_rows")
        with _embedded(source, setting) as embedded:
            chosen = setting.chosen(source.products)
            if not chosen:  # the quantizer would take an empty list to mean all nodes
                shutil.copyfile(embedded, path)
                return
            quantize_static(
                embedded,
                path,
                _Reader(setting.calibration, embedded),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                per_channel=self.per_channel,
                reduce_range=setting.cpu.needs_reduced_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_quantize=chosen,
                calibrate_method=_METHODS[self.method],
                extra_options={
                    **_OPTIONS,
                    "MatMulConstBOnly": True,
                    # outputs are summed or normed next; rounding them would cost accuracy and time
                    "OpTypesToExcludeOutputQuantization": ["MatMul"],
                    "CalibPercentile": 99.999,
                    # one batch at a time: histograms of several lengths together fail, and take a lot of memory
                    "CalibStridedMinMax": 1,
                },
            )

    def describe(self) -> str:
        """What it does, in a few words."""
        per = "channel" if self.per_channel else "matrix"
        return f"int8 weights per {per}, activations by {self.method} of calibration rows"


_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


@dataclass(frozen=True)
class WeightOnly:
    """Weights in blocks that have a scale each; activations become int8 in blocks for the product (accuracy level 4).

    bits: 8 or 4. block_size: number of weights of one output that share a scale.
    """

    bits: Literal[4, 8]
    block_size: Literal[16, 32, 64, 128] = 32

    def __call__(self, source: Source, path: Path, setting: QuantizeOptions) -> None:
        """Write the quantized graph."""
        with _embedded(source, setting) as embedded:
            chosen = set(setting.chosen(source.products))
            quantizer = _nbits_quantizer()(
                onnx.load(embedded),
                bits=self.bits,
                block_size=self.block_size,
                is_symmetric=True,
                accuracy_level=4,
                nodes_to_exclude=[name for name in source.products if name not in chosen],
                op_types_to_quantize=("MatMul",),
            )
            quantizer.process()
            onnx.save(quantizer.model.model, path)

    def describe(self) -> str:
        """What it does, in a few words."""
        return f"{self.bits}-bit weights in blocks of {self.block_size}, activations in int8 blocks"


VARIANTS: Registry[Variant] = Registry("quantization variant")
VARIANTS.add("dynamic-int8", DynamicInt8())
VARIANTS.add("dynamic-int8-per-matrix", DynamicInt8(per_channel=False))
VARIANTS.add("dynamic-uint8", DynamicInt8(signed=False))
VARIANTS.add("static-int8", StaticInt8())
VARIANTS.add("static-int8-entropy", StaticInt8("entropy"))
VARIANTS.add("static-int8-percentile", StaticInt8("percentile"))
VARIANTS.add("weight-int8", WeightOnly(8))
VARIANTS.add("weight-int4", WeightOnly(4))


def quantize(source: Source, target: Path, variant: Variant, setting: QuantizeOptions) -> Path:
    """Write a quantized file, whole or not at all.

    Raises: ExportError when the variant can't quantize this graph, or the disk refuses.
    """
    with replacing(target) as written:
        variant(source, written, setting)
    return target


def quantize_int8(source: Path, target: Path, *, per_channel: bool = True) -> Path:
    """Write `source` with int8 weights; activations are quantized to uint8 while it runs, with each batch's ranges.

    Matrix products with weights and embedding tables are quantized; attention scores, norms and biases are not. Weights
    have 7 bits if products of 8 bits overflow on this processor. `target` is written whole or not at all, `source` is
    only read.

    Raises: ExportError when `source` is missing or damaged, or the disk refuses.
    """
    return quantize(Source.load(source), target, DynamicInt8(per_channel), QuantizeOptions())


def _dynamic(model: onnx.ModelProto, path: Path, form: DynamicInt8, setting: QuantizeOptions, nodes: list[str]) -> None:
    if not nodes:  # the quantizer would take an empty list to mean all nodes
        save_onnx(model, path)
        return
    quantize_dynamic(
        copy.deepcopy(model),
        path,
        op_types_to_quantize=["MatMul", "Gather"],
        per_channel=form.per_channel,
        reduce_range=setting.cpu.needs_reduced_range,
        weight_type=QuantType.QInt8 if form.signed else QuantType.QUInt8,
        nodes_to_quantize=nodes,
        extra_options=_OPTIONS,
    )


def _nbits_quantizer() -> Any:
    """ONNX Runtime's class, imported in a way that keeps its module from setting up the process's root logger."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)  # where there is a handler, `basicConfig` does nothing
    try:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    finally:
        root.removeHandler(silent)
    return MatMulNBitsQuantizer


@contextmanager
def _embedded(source: Source, setting: QuantizeOptions) -> Iterator[Path]:
    """A file of the source with int8 embedding tables, for quantizers that only know products."""
    with tempfile.TemporaryDirectory(prefix="aebert-quantize-") as folder:
        path = Path(folder) / "embedded.onnx"
        _dynamic(source.model, path, DynamicInt8(), setting, setting.chosen(source.tables))
        marked = onnx.load(path)
        add_pre_process_metadata(marked)
        _type_activations(marked, source.products)
        onnx.save(marked, path)
        yield path


def _type_activations(model: onnx.ModelProto, products: Iterable[str]) -> None:
    """Declare that what products read is float32.

    The static quantizer does not know the types that fused nodes return, and would leave their products unquantized
    without an error.
    """
    del model.graph.value_info[:]
    chosen, weights = set(products), weight_names(model)
    read = {
        name: None for node in model.graph.node if node.name in chosen for name in node.input if name not in weights
    }
    float32 = onnx.TensorProto.FLOAT
    model.graph.value_info.extend(onnx.helper.make_tensor_value_info(name, float32, None) for name in read)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped base
    """Gives batches to the calibrator, one range of them at a time."""

    def __init__(self, batches: Sequence[Feed], path: Path) -> None:
        names = [value.name for value in onnx.load(path).graph.input]
        self._feeds = [{name: np.asarray(batch[name], dtype=np.int64) for name in names} for batch in batches]
        self._left = iter(self._feeds)

    def get_next(self) -> dict[str, Any] | None:
        """The next batch; None after the last."""
        return next(self._left, None)

    def __len__(self) -> int:
        return len(self._feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Let these batches come next."""
        self._left = iter(self._feeds[start_index:end_index])

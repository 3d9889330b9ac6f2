"""Makes the files of many sub-networks from one export: the dense model's graph, with its weights cut to size.

An export takes tens of seconds, a cut a fraction of a second. The weights are random, so the files are good only for
timing; their nodes and sizes are those of the files that ship.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from transformers import PreTrainedModel

from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.quantize import quantize_int8
from aebert.errors import ExportError
from aebert.files import replacing
from aebert.models.counting import shape_of
from aebert.models.families import Block, family_of
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture

_SPREAD = 0.02  # standard deviation of random weights, as encoders are initialised


@dataclass(frozen=True)
class _Cut:
    """A tensor of the graph, and the axis that a block's units are on."""

    name: str
    axis: int


@dataclass(frozen=True)
class _BlockPlaces:
    """Where a block is in a graph: what is cut with its units, and the tensor that holds the sum over its units.

    rows: elements of a cut axis per unit; a head has several.
    """

    cuts: tuple[_Cut, ...]
    output: str
    rows: int


class ResizableGraph:
    """An exported graph whose blocks can be given any width.

    shape: of the dense model. Use `resizable` to make one.
    """

    def __init__(self, model: onnx.ModelProto, shape: ModelShape, places: Sequence[_BlockPlaces]) -> None:
        self.shape, self._places = shape, tuple(places)
        self._arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._bare = onnx.ModelProto()
        self._bare.CopyFrom(model)
        del self._bare.graph.initializer[:]
        del self._bare.graph.value_info[:]  # it states the dense widths

    def write(self, architecture: Architecture, path: Path) -> Path:
        """Write the file of a sub-network that keeps the first units of every block, whole or not at all.

        Raises: ConfigError when the architecture does not fit the shape; OutputError when the disk refuses.
        """
        architecture.check(self.shape)
        model = onnx.ModelProto()
        model.CopyFrom(self._bare)
        arrays = dict(self._arrays)
        for place, width in zip(self._places, (*architecture.heads, *architecture.ffn), strict=True):
            if width:
                arrays |= _narrowed(arrays, place, width)
            elif place.output:
                _silence(model.graph, arrays, place.output)
        _drop_unused(model.graph)
        used = {name for node in model.graph.node for name in node.input}
        model.graph.initializer.extend(
            numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used
        )
        with replacing(path) as written:
            onnx.save(model, written)
        return path


def _narrowed(
    arrays: Mapping[str, NDArray[np.generic]], place: _BlockPlaces, width: int
) -> dict[str, NDArray[np.generic]]:
    """The cut tensors of a block; in a quantized graph with its scales, by the names that the quantizer gives them."""
    found = {}
    for cut in place.cuts:
        size = width * place.rows
        for name, axis in ((cut.name, cut.axis), (f"{cut.name}_quantized", cut.axis)):
            if name in arrays:
                found[name] = np.ascontiguousarray(np.take(arrays[name], range(size), axis=axis))
        for name in (f"{cut.name}_scale", f"{cut.name}_zero_point"):
            # where there is one per output channel, those of the input projections are cut; one per matrix stays
            if name in arrays and arrays[name].ndim == 1 and cut.axis == 1:
                found[name] = arrays[name][:size].copy()
    return found


def _silence(graph: onnx.GraphProto, arrays: dict[str, NDArray[np.generic]], output: str) -> None:
    """Make a tensor the constant 0, so that only the output bias is left of its block, as in an exported file."""
    (producer,) = (node for node in graph.node if output in node.output)
    graph.node.remove(producer)
    arrays[output] = np.zeros((1,), dtype=np.float32)


def _drop_unused(graph: onnx.GraphProto) -> None:
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


@contextmanager
def resizable(
    model: PreTrainedModel, input_names: Sequence[str], *, int8: bool, per_channel: bool = True, opset: int = 20
) -> Iterator[ResizableGraph]:
    """The graph of a model of this shape with random weights, exported once and, with `int8`, quantized once.

    model: gives only the shape, and is not changed. The graph is in memory until the block ends.

    Raises: ExportError when the exporter fails, or its graph does not hold every block's weights as separate tensors.
    """
    twin = _twin(model)
    folder = Path(tempfile.mkdtemp(prefix="aebert-"))
    try:
        path = export_onnx(twin, input_names, folder / "dense.onnx", opset=opset)
        places = _places(onnx.load(path), twin)
        if int8:
            path = quantize_int8(path, folder / "dense.int8.onnx", per_channel=per_channel)
        graph = ResizableGraph(onnx.load(path), shape_of(twin), places)
        shutil.rmtree(folder)
        yield graph
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _twin(model: PreTrainedModel) -> PreTrainedModel:
    """A model of the same class and config whose tensors all differ, so that each can be recognised by its values."""
    twin: PreTrainedModel = type(model)(model.config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in twin.parameters():
        parameter.data = _SPREAD * torch.randn(parameter.shape, generator=generator)
    return twin


def _places(graph: onnx.ModelProto, model: PreTrainedModel) -> list[_BlockPlaces]:
    known = {_values(numpy_helper.to_array(tensor)): tensor.name for tensor in graph.graph.initializer}
    return [_place(block, graph.graph, known, size) for block, size in family_of(model.config).blocks(model)]


def _values(array: NDArray[np.generic]) -> tuple[tuple[int, ...], bytes]:
    """What a tensor is recognised by: its shape and its first values."""
    flat: NDArray[np.generic] = np.ascontiguousarray(array).reshape(-1)[:64]
    return array.shape, flat.tobytes()


def _place(
    block: Block, graph: onnx.GraphProto, known: Mapping[tuple[tuple[int, ...], bytes], str], rows: int
) -> _BlockPlaces:
    if block.output.module.in_features == 0:  # a sub-network's block that keeps nothing
        return _BlockPlaces((), "", rows)
    cuts = []
    for place in block.inputs:
        cuts += [_find(place.module.weight, known, units=0), _find(place.module.bias, known, units=0)]
    last = _find(block.output.module.weight, known, units=1)
    readers = [node for node in graph.node if last.name in node.input]
    if len(readers) != 1:
        raise ExportError(f"exported graph must read each output projection once, reads {last.name} {len(readers)}×")
    return _BlockPlaces((*cuts, last), readers[0].output[0], rows)


def _find(weight: torch.Tensor, known: Mapping[tuple[tuple[int, ...], bytes], str], *, units: int) -> _Cut:
    """The initializer that holds a parameter, as it is or transposed. units: the parameter's axis of units."""
    array: NDArray[np.generic] = weight.detach().numpy()
    if (name := known.get(_values(array))) is not None:
        return _Cut(name, units)
    if (name := known.get(_values(array.T))) is not None:
        return _Cut(name, 1 - units)
    raise ExportError(
        f"exported graph must hold a weight of shape {list(array.shape)} as a tensor of its own; it was merged "
        "with another one (use another deploy.opset)"
    )

"""Exports a model as one ONNX file with dynamic batch size and length."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.deployment.modes import attention, eval_mode
from aebert.errors import ExportError
from aebert.files import replacing
from aebert.models.embedding import SUFFIX
from aebert.runtime.session import EMBEDDING

# protobuf's limit for one file is 2 GiB; the rest is room for the graph itself
_MAX_WEIGHT_BYTES = 2**31 - 2**24

# Sizes of the batch that is traced. They are not 0 or 1, which the exporter would take for constants, and they differ,
# so that the exporter can't take one axis for the other.
_EXAMPLE_BATCH, _EXAMPLE_LENGTH = 3, 11

_AXES = ("batch", "seq")


def export_onnx(
    model: PreTrainedModel,
    input_names: Sequence[str],
    path: Path,
    *,
    opset: int = 18,
    attention_function: str = "eager",
) -> Path:
    """Write `model` as one ONNX file: int64 inputs `[batch, seq]`, float32 output `logits`, both axes dynamic.

    One for embeddings has two outputs: `last_hidden_state` `[batch, seq, hidden]`, which programs that pool themselves
    read first, and `sentence_embedding` `[batch, hidden]`.
    input_names: what the tokenizer returns (`tokenizer.model_input_names`); those the model doesn't take are left out.
    attention_function: name in transformers' registry; the graph of eager attention is smaller than that of torch's
    kernel, and up to 6 % faster in ONNX Runtime. Blocks without units vanish from the graph. The model is exported in
    eval mode; its weights, mode and attention are left as found. `path` is written whole or not at all.

    Raises: ExportError when the exporter fails, the file would pass 2 GB, or the disk refuses.
    """
    names = accepted_inputs(model, input_names)
    _check_size(model)
    with eval_mode(model), attention(model, attention_function), _quiet_exporter():
        program = _trace(model, names, opset)
    _strip_origin(program)
    with replacing(path) as written:
        program.save(str(written), external_data=False)
    return path


def accepted_inputs(model: PreTrainedModel, input_names: Sequence[str]) -> list[str]:
    """Those of `input_names` that the model's forward takes. Raises: ExportError when `input_ids` is not among them."""
    parameters = inspect.signature(model.forward).parameters
    names = [name for name in input_names if name in parameters and name != "labels"]
    if "input_ids" not in names:
        raise ExportError(f"input names must contain input_ids and be taken by the model, got {list(input_names)}")
    return names


def _check_size(model: PreTrainedModel) -> None:
    size = sum(tensor.nbytes for tensor in {*model.parameters(), *model.buffers()})
    if size > _MAX_WEIGHT_BYTES:
        raise ExportError(f"an ONNX file must stay below 2 GB to be one file, the weights have {size / 1e9:.2f} GB")


class _Outputs(nn.Module):
    """What the exporter traces: it takes positional inputs and returns the outputs of the file."""

    def __init__(self, model: PreTrainedModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)
        self.embeds = SUFFIX in type(model).__name__

    @property
    def output_names(self) -> list[str]:
        return ["last_hidden_state", EMBEDDING] if self.embeds else ["logits"]

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True)
        return (found.last_hidden_state, found.logits) if self.embeds else (found.logits,)


def _trace(model: PreTrainedModel, names: Sequence[str], opset: int) -> torch.onnx.ONNXProgram:
    traced = _Outputs(model, names).eval()
    try:
        program = torch.onnx.export(
            traced,
            _example(model, names),
            dynamo=True,
            # axes are named below instead, since the exporter warns about names given here for each further input
            dynamic_shapes=(tuple(dict.fromkeys(range(2), torch.export.Dim.DYNAMIC) for _ in names),),
            input_names=list(names),
            output_names=traced.output_names,
            opset_version=opset,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        # The exporter's message is a page of advice; what went wrong is the first line of its cause.
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ExportError(f"{type(model).__name__} can't be exported to ONNX opset {opset}: {reason}") from error
    assert program is not None  # only the older exporter returns None
    shapes = [node.shape for node in program.model.graph.inputs if node.shape is not None]
    program.rename_axes({str(axis): name for shape in shapes for axis, name in zip(shape, _AXES, strict=True)})
    return program


def _strip_origin(program: torch.onnx.ONNXProgram) -> None:
    """Drop the stack trace of every node, which names folders of this machine and doubles the size of small files."""
    graph = program.model.graph
    graph.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def _example(model: PreTrainedModel, names: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """Tensors of the right type and rank; their values leave no trace in the graph."""
    shape = (_EXAMPLE_BATCH, _EXAMPLE_LENGTH)
    values = {name: torch.zeros(shape, dtype=torch.long, device=model.device) for name in names}
    values["input_ids"] += torch.arange(_EXAMPLE_LENGTH, device=model.device) % model.config.vocab_size
    if "attention_mask" in values:
        values["attention_mask"] += 1
    return tuple(values[name] for name in names)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Drop what the exporter says on every run although nobody can act on it, and nothing else."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    log.addFilter(_unless_torchvision)
    try:
        with warnings.catch_warnings():
            # torch's own use of a class that torch deprecated
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        log.removeFilter(_unless_torchvision)


def _unless_torchvision(record: logging.LogRecord) -> bool:
    return "torchvision is not installed" not in record.getMessage()

"""Exports a model as a FlatBuffer (LiteRT, formerly TensorFlow Lite) of one fixed length, and quantizes it.

This needs the packages of the extra `litert`, which are imported when a file is made, not with this module.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import nn
from transformers import PreTrainedModel

from aebert.deployment.litert_packages import first_line, litert_package, require_litert
from aebert.deployment.modes import attention, eval_mode
from aebert.deployment.onnx_export import accepted_inputs
from aebert.errors import ExportError
from aebert.files import replacing
from aebert.models.families import family_of

Bits = Literal[4, 8]

# A FlatBuffer addresses its content with signed 32-bit offsets; the rest is room for the graph itself.
_MAX_WEIGHT_BYTES = 2**31 - 2**24


def export_litert(model: PreTrainedModel, input_names: Sequence[str], path: Path, *, length: int) -> Path:
    """Write `model` as one FlatBuffer: int32 inputs `[1, length]` by their names, float32 output `logits`.

    input_names: what the tokenizer returns (`tokenizer.model_input_names`); those the model doesn't take are left out.
    The file takes one row of one length, because the converter has no other form for these models: with a dynamic
    length it stops at the position ids (litert-torch 0.10). Whoever runs the file pads and masks shorter rows, as
    `LiteRTModel` does. Token ids are int32, as phones' runtimes and delegates take them. Blocks without units vanish
    from the graph. Weights, mode and attention of the model are left as found; `path` is written whole or not at all.

    Raises: ExportError when a package of the extra is missing, the converter fails, the model has fewer positions than
    `length`, the file would pass 2 GB, or the disk refuses.
    """
    require_litert()
    names = accepted_inputs(model, input_names)
    _check_fits(model, length)
    with eval_mode(model), attention(model, "eager"), quiet_converter():
        graph = _convert(model, names, length)
        with replacing(path) as written:
            graph.export(str(written))
    return path


def _check_fits(model: PreTrainedModel, length: int) -> None:
    most = family_of(model.config).most_tokens(model.config)
    if not 1 <= length <= most:
        raise ExportError(f"length of a FlatBuffer must be in 1..{most}, the model's positions, got {length}")
    size = sum(tensor.nbytes for tensor in {*model.parameters(), *model.buffers()})
    if size > _MAX_WEIGHT_BYTES:
        raise ExportError(f"a FlatBuffer must stay below 2 GB, the weights have {size / 1e9:.2f} GB")


class _NamedLogits(nn.Module):
    """What the converter traces: its parameters' names and its key become those of the file's inputs and output."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.model(**inputs, return_dict=True).logits}


def _convert(model: PreTrainedModel, names: Sequence[str], length: int) -> _Graph:
    converter = litert_package("litert_torch")
    example = {name: torch.zeros((1, length), dtype=torch.int32) for name in names}
    for name in ("input_ids", "attention_mask"):
        if name in example:
            example[name] += 1
    try:
        graph: _Graph = converter.convert(_NamedLogits(model).eval(), sample_kwargs=example)
    except Exception as error:  # the converter's errors have no common base class
        raise ExportError(f"{type(model).__name__} can't be converted to LiteRT: {first_line(error)}") from error
    return graph


class _Graph(Protocol):
    """The part that is used here of what the converter returns."""

    def export(self, path: str) -> None:
        """Write the file."""


def quantize_litert(source: Path, target: Path, *, bits: Bits = 8) -> Path:
    """Write `source` with integer weights of 8 or 4 bits and one scale per channel (dynamic range quantization).

    Activations are quantized to int8 while the file runs, with the range of each row. Matrix products with weights and
    embedding tables are quantized; biases, norms and attention scores are not. `target` is written whole or not at all,
    `source` is only read.

    Raises: ExportError when `source` is missing or damaged, a package of the extra is missing, or the disk refuses.
    """
    require_litert()
    if not source.is_file():
        raise ExportError(f"{source} must be a FlatBuffer; there is none (export it first)")
    try:
        with quiet_converter():
            content = _quantized(source, bits)
    except Exception as error:  # the quantizer's errors have no common base class
        raise ExportError(f"{source} can't be quantized: {first_line(error)} (export it again)") from None
    with replacing(target) as written:
        written.write_bytes(content)
    return target


def _quantized(source: Path, bits: Bits) -> bytes:
    recipes = litert_package("ai_edge_quantizer.recipe")
    recipe = {8: recipes.dynamic_wi8_afp32, 4: recipes.dynamic_wi4_afp32}[bits]()
    content: bytes = (
        litert_package("ai_edge_quantizer.quantizer").Quantizer(str(source), recipe).quantize().quantized_model
    )
    return content


@contextmanager
def quiet_converter() -> Iterator[None]:
    """Drop the progress that converter and quantizer print, and warnings that nobody can act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            litert_package("litert_torch.progress").console.quiet = True
            yield
    finally:
        logging.disable(before)

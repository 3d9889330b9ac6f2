"""Models that compute as a dynamically quantized file does: int8 weights, and activations quantized in every call."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers import PreTrainedModel

# From the fastest to the slowest; qnnpack adds in 32 bits on every processor.
_ENGINES = ("x86", "fbgemm", "onednn", "qnnpack")
_LARGEST: dict[int, Literal[64, 127]] = {7: 64, 8: 127}
_PROBED = ((1, 8), (5, 312), (64, 1024))  # rows and inputs of the products that an engine is tried on
_PROBED_OUTPUTS = 96


@dataclass(frozen=True)
class Int8Weights:
    """How the matrices of a file are quantized.

    per_channel: one scale per output of a matrix instead of one per matrix. bits: 7 where the file has a reduced range,
    since products of 8 bits overflow on the processor that it is made for.
    """

    per_channel: bool = True
    bits: Literal[7, 8] = 8

    @property
    def largest(self) -> int:
        """Weights are integers of -largest to largest, as ONNX Runtime's quantizer makes them."""
        return _LARGEST[self.bits]

    def describe(self) -> str:
        """In words: `7 bits per channel`."""
        return f"{self.bits} bits per {'channel' if self.per_channel else 'matrix'}"


class Int8Linear(nn.Module):
    """A linear layer that multiplies integers: `[..., in_features]` → `[..., out_features]`.

    Weights are symmetric int8. Activations become uint8 with one scale and zero point for the whole tensor, found anew
    in every call, 0 included in the range: what ONNX Runtime's `DynamicQuantizeLinear` and `MatMulInteger` do. All 8
    bits of the activations are used, and it is the weights that have 7 where products would overflow, as in the file.
    torch's own dynamic layers do it the other way round (`reduce_range`), so the operator is called without them. The
    linear layer is only read.

    Products are exact: an engine that saturates with weights this large is not used (`exact_engine`).

    Raises: ValueError where this torch has no such engine.
    """

    def __init__(self, linear: nn.Linear, form: Int8Weights) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        engine = exact_engine(form.bits)
        if engine is None:
            raise ValueError(f"this torch has no engine that multiplies weights of {form.bits} bits exactly here")
        bias = None if linear.bias is None else linear.bias.detach()
        self._packed = _pack(linear.weight.detach(), _scales(linear.weight.detach(), form), bias, engine)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The layer's output, float32."""
        return _multiply(x, self._packed)


def quantized(model: PreTrainedModel, form: Int8Weights) -> PreTrainedModel:
    """A copy whose linear layers and embedding tables are as in the `dynamic-int8` file of the model; for inference.

    Tables are uint8 with one scale each, whatever `form` says of matrices. What stays float32 there does so here:
    products of activations in attention, biases, norms, softmax and activation functions. The copy shares all tensors
    that are not quantized with the model, which is not changed.

    Logits are those of the file but for rounding: the order of sums differs, and a value between two steps may then be
    rounded to the other one. ONNX Runtime may pick another zero point where both are equally near.

    Raises: ValueError as `Int8Linear` does.
    """
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    copied = copy.deepcopy(model, memo)
    for parent in list(copied.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.Linear):
                setattr(parent, name, Int8Linear(module, form))
            elif isinstance(module, nn.Embedding):
                module.weight = nn.Parameter(_rounded(module.weight.detach()), requires_grad=False)
    return cast(PreTrainedModel, copied)


@cache
def exact_engine(bits: Literal[7, 8]) -> str | None:
    """An engine of this torch whose products of such weights with 8-bit activations are exact; None if there is none.

    x86 without VNNI adds two products of uint8 and int8 in 16 bits and saturates without an error, which costs half the
    result where all are large; 7-bit weights can't. So an engine counts only after it was tried on the largest weights
    and activations there are, on this processor.
    """
    usable = [name for name in _ENGINES if name in torch.backends.quantized.supported_engines]
    return next((name for name in usable if _is_exact(name, _LARGEST[bits])), None)


def _is_exact(engine: str, largest: int) -> bool:
    """Whether the engine gives the integers that it should for extreme inputs."""
    try:
        return all(_product_is_exact(engine, largest, *size) for size in _PROBED)
    except (AttributeError, RuntimeError):  # a torch without the operators, or built without this engine
        return False


def _product_is_exact(engine: str, largest: int, rows: int, inputs: int) -> bool:
    weight = torch.full((_PROBED_OUTPUTS, inputs), float(largest))
    weight[1::3] *= -1
    weight[2::3, ::2] *= -1
    x = torch.full((rows, inputs), 255.0)  # quantized with scale 1
    found = _multiply(x, _pack(weight, torch.ones(_PROBED_OUTPUTS), None, engine))
    return torch.equal(found, (x.double() @ weight.double().T).float())


def _pack(weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None, engine: str) -> Any:
    """The weights as integers, in the engine's layout."""
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    with _using(engine), warnings.catch_warnings():
        # the announcement that torch may drop these tensors one day; then no engine is left, and a run says so
        warnings.filterwarnings("ignore", r"torch\.quantize_per_tensor, .* are deprecated", UserWarning)
        whole = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(whole, bias)


def _multiply(x: torch.Tensor, packed: Any) -> torch.Tensor:
    return cast(torch.Tensor, torch.ops.quantized.linear_dynamic(x, packed, reduce_range=False))


@contextmanager
def _using(engine: str) -> Iterator[None]:
    """Packed weights belong to the engine that is chosen when they are packed."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def _scales(weight: torch.Tensor, form: Int8Weights) -> torch.Tensor:
    """The scale of each output."""
    highest = weight.abs().amax(dim=1)
    if not form.per_channel:
        highest = highest.max().expand(len(highest))
    scales = highest / form.largest
    return torch.where(scales < torch.finfo(torch.float32).tiny, torch.ones(()), scales)


def _rounded(table: torch.Tensor) -> torch.Tensor:
    """A table after it was uint8 with one scale and one zero point, 0 included in the range."""
    low, high = table.min().clamp(max=0).double(), table.max().clamp(min=0).double()
    scale = (high - low) / 255
    if scale < torch.finfo(torch.float32).tiny:
        return table.clone()
    zero = torch.round(-low / scale)
    return (((table / scale.float()).round() + zero).clamp(0, 255) - zero).float() * scale.float()

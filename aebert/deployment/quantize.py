"""ONNX Runtime dynamic quantization of an exported file."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from aebert.errors import ExportError
from aebert.files import replacing


def quantize_int8(source: Path, target: Path, *, per_channel: bool = True) -> Path:
    """Write `source` with int8 weights; activations are quantized to uint8 while running, with ranges of each batch.

    Matrix products with weights and embedding tables are quantized; attention scores, norms and biases are not. Weights
    of products are symmetric and signed: on x86 faster than unsigned ones. per_channel: one scale per output of a
    matrix, not one per matrix; same speed, clearly closer logits. `target` is written whole or not at all, `source` is
    only read.

    Raises: ExportError when `source` is missing or damaged, or the disk refuses.
    """
    model = _load(source)
    # Shapes noted by the exporter contradict the ones inferred after quantization; they are inferred anew.
    del model.graph.value_info[:]
    # Without the mark, the quantizer logs the advice to do what the exporter has done: infer shapes, fold constants.
    add_pre_process_metadata(model)
    with replacing(target) as written:
        quantize_dynamic(model, written, per_channel=per_channel, weight_type=QuantType.QInt8)
    return target


def _load(source: Path) -> onnx.ModelProto:
    if not source.is_file():
        raise ExportError(f"{source} must be an ONNX file; there is none (export it first)")
    try:
        model = onnx.load(source)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx share no base class of errors
        reason = str(error).strip().splitlines()[0]
        raise ExportError(f"{source} must be a whole ONNX file: {reason} (export it again)") from None
    return model

"""Export to ONNX and FlatBuffers, parity with the model, quantization, and bundles."""

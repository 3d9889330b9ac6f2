"""ONNX export, parity, quantization."""

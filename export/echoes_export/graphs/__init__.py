"""The models as ONNX graphs."""

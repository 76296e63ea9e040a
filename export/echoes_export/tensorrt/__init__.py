"""TensorRT engines of a bundle."""

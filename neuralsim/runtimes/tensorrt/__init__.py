"""The TensorRT runtime: engines, their builder, and the CUDA calls they need."""

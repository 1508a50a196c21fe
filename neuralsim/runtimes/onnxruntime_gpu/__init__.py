"""ONNX Runtime on an NVIDIA GPU: its CUDA provider, and TensorRT-RTX as a plugin of it.

Not run by its authors on a GPU: what needs none is tested on the real packages.
"""

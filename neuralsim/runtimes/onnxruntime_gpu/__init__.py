"""ONNX Runtime on an NVIDIA GPU by its CUDA provider.

Not run by its authors on a GPU: what needs none is tested on the real packages.
"""

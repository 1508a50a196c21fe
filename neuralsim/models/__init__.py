"""Networks: the painter, the whole generator as one graph, discriminators, and its export to ONNX."""

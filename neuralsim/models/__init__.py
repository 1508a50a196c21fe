"""Networks: the generator, its recurrence, the whole model as one graph, discriminators, and the export to ONNX."""

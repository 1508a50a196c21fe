"""``python -m benchmarks.gpu``: a list of checks for a machine with an NVIDIA GPU, in JSON and as a page.

It runs from a checkout without network, with PyTorch and numpy alone: the graphs and frames that it needs are packed
into one file (``--pack``), and what other packages are needed for is left out with a line. Without a GPU everything
runs on the processor instead, at a small size; never run on a GPU by its authors.
"""

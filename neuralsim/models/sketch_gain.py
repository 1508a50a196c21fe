"""How a sketch and the brightness that it stands for depend on each other: sketch = tanh(``GAIN`` x)."""

#: Gain of a sketch, x being by how much a place is brighter than its tint, of 1: about the middle of those in
#: ``neuralsim/training/data/conditioning.py``.
GAIN = 4.5
LIMIT = 0.95  # of a sketch: beyond it, x grows without bounds

"""``neuralsim render``, ``flow`` and ``label``: folders of label maps and of pictures, without a simulator."""

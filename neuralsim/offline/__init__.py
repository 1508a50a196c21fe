"""``neuralsim render``, ``flow`` and ``label``: folders of label maps and of images, without a simulator."""

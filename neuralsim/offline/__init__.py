"""``neuralsim render`` and ``neuralsim images``: folders of label maps and of images, without a simulator."""

"""``neuralsim replay``: scrub through a recording, render it again, drive on from it."""

"""``neuralsim replay``: a recording to scrub through, to paint anew, to drive on from."""

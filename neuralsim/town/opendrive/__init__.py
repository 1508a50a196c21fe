"""Maps: OpenDRIVE files, written and read."""

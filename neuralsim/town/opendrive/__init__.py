"""Maps: OpenDRIVE files, generated and read."""

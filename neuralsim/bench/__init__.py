"""``neuralsim bench``: where the milliseconds of a frame go, and whether they have become fewer."""

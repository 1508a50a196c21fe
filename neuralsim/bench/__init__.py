"""``neuralsim bench``: where the milliseconds go, and whether they became fewer."""

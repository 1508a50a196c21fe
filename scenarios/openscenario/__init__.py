"""Translation of ASAM OpenSCENARIO files to scenarios."""

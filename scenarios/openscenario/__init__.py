"""ASAM OpenSCENARIO files as scenarios."""

"""Guarded readers for untrusted files, one per format, and the limits that they share."""

"""Readers for recordings, which may come from untrusted sources and may be damaged."""

"""Readers for recordings, which may come from anybody and may be damaged."""

"""Recordings: writers of what was driven."""

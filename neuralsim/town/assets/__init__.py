"""Meshes: geometry with a semantic tag and a colour per triangle."""

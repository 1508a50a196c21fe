"""Process plumbing: command lines, presets, signals."""

"""Process plumbing: options and command lines, presets, signals, forking."""

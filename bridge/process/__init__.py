"""How a process of ours begins and ends: command lines, presets, signals."""

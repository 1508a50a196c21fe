"""The driving window: its processes, its loop, its picture, its input devices, its report."""

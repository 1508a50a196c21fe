"""Base of every command: failures, log lines, progress, host facts."""

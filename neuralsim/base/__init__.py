"""The base of every command: failures, log lines, progress, host facts."""

"""The scenario language: its schema, its conditions, and its errors with file, line and key."""

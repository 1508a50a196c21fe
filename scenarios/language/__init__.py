"""The language of scenarios: its schema, its conditions, its mistakes with file, line and key."""

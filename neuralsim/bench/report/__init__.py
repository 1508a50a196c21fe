"""What is made of measurements: statistics, tables, charts, budgets and comparisons."""

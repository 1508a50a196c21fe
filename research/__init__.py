"""Studies that the evaluation rests on, run from a checkout. They are not in the wheel."""

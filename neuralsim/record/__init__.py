"""``neuralsim record``: scripted drives in lock-step, through the same bridge and link as every other drive."""

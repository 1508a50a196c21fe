"""``neuralsim record``: scenarios recorded in lock-step, on one machine or on a cluster."""

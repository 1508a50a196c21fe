"""``neuralsim record``: record scenarios in lockstep, on one machine or on a cluster."""

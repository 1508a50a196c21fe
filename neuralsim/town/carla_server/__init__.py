"""A CARLA 0.9.16 server on top of a ``World``: RPC, sensor streams, their wire layouts, and the server process."""

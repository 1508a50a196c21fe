"""CARLA's wire over a ``World``: RPC, sensor streams, their layouts, and the server process."""

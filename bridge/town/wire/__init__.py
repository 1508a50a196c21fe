"""CARLA's wire: RPC, sensor streams, their layouts, and the server functions over a ``World``."""

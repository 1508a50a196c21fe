"""What several tests use: a client and a world of CARLA's wire, stand-ins for a GPU."""

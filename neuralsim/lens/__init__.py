"""The lens: CARLA's own rgb cameras send generated images, from the embedded town or in front of any server."""

"""``neuralsim render FOLDER``: what a CARLA server's cameras have written, rendered as a clip."""

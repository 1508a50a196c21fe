"""Rays against all triangles of the town: for LiDAR, radar and obstacle sensors."""

"""The meshes of cars, lorries, motorcycles and bicycles, and their wheels."""

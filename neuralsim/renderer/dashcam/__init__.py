"""What is between a dashboard camera and the street: the own bonnet, a windscreen in the rain, a small lens."""

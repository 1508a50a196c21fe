"""What is done to a generated image before it is shown."""

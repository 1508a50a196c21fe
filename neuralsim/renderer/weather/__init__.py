"""What the weather does to a generated image: its style, sky, fog, rain, the glow of lamps and the sun's glare."""

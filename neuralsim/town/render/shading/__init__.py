"""How drawn surfaces are lit and look: textures, vehicles, shadows."""

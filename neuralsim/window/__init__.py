"""The drive in a pygame window: display, HUD, menu, keyboard, gamepad and sound."""

"""Does it help on real streets? See ``__main__``."""

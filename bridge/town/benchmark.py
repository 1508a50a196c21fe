"""Moved to ``bridge.town.tools.benchmark``. This name goes with the next release."""

from bridge.town.tools.benchmark import main

__all__ = ["main"]

if __name__ == "__main__":
    main()

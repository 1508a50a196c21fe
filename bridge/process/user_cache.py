"""The folder that caches this user's builds, engines and benchmark-based choices between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return ``$NEURALSIM_CACHE``, else ``neuralsim`` in the user's cache folder. It may not exist yet."""
    own = os.environ.get("NEURALSIM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neuralsim"

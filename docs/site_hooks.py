"""What the site needs of pages that are also read in the repository."""

from __future__ import annotations

import re
from typing import Any

#: A link that leaves docs/: right in the repository, nowhere on the site.
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files of the repository become their text, with the path where the text is not it."""
    return _OUTSIDE.sub(lambda link: link[1] if link[1].strip("`") == link[2] else f"{link[1]} (`{link[2]}`)", markdown)

"""``python -m neuralsim``: the same as the ``neuralsim`` command."""

from neuralsim.cli import main

raise SystemExit(main())

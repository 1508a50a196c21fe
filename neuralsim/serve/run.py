"""``neuralsim serve``."""

from neuralsim.base.failure import fail
from neuralsim.drive import settings
from neuralsim.drive.drive_loop import EXPECTED
from neuralsim.serve.access import Tokens
from neuralsim.serve.options import ServeOptions
from neuralsim.serve.served_drive import BrowserDrive
from neuralsim.session.size_choice import rounded


def run(options: ServeOptions) -> int:
    """Serve until interrupted and return the exit code. Errors are one line on stderr."""
    try:
        tokens = Tokens.load_or_create(options.token or settings.path().with_name("serve.token"))
        BrowserDrive(rounded(options), tokens).run()
        code = 0
    except (*EXPECTED, ValueError) as error:
        code = fail(error)
    return code

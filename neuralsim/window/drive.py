"""``neuralsim drive``: with a window or without one."""

from __future__ import annotations

import os
import sys
import threading

from neuralsim.base.failure import fail
from neuralsim.session.loop import EXPECTED, Drive, HeadlessDrive
from neuralsim.session.options import DriveOptions


def run(options: DriveOptions) -> int:
    """Drive as ``options`` say; returns the exit code. Errors are one line on stderr."""
    if not options.headless:
        from neuralsim.window.window import display_available

        if not display_available():
            return fail("no display: set DISPLAY or use --headless")
    try:
        drive: Drive
        if options.headless:
            drive = HeadlessDrive(options)
        else:
            from neuralsim.window.interactive import WindowDrive

            drive = WindowDrive(options)
        drive.run()
        code = 0
    except EXPECTED as error:
        code = fail(error)
    if any(thread.name == "model" for thread in threading.enumerate()):
        # A compiler that is still at work cannot be cancelled, and must not see the interpreter go away under it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code

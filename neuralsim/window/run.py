"""``neuralsim drive``: with a window or without one."""

from __future__ import annotations

from neuralsim.base.failure import fail
from neuralsim.drive.drive_loop import EXPECTED, DriveLoop, HeadlessDrive, ended
from neuralsim.session.options import DriveOptions


def run(options: DriveOptions) -> int:
    """Drive as ``options`` say; returns the exit code. Errors are one line on stderr."""
    if not options.headless:
        from neuralsim.window.window import display_available

        if not display_available():
            return fail("no display: set DISPLAY or use --headless")
    try:
        drive: DriveLoop
        if options.headless:
            drive = HeadlessDrive(options)
        else:
            from neuralsim.window.windowed_drive import WindowDrive

            drive = WindowDrive(options)
        drive.run()
        code = 0
    except EXPECTED as error:
        code = fail(error)
    return ended(code)

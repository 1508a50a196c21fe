"""``neuralsim drive``: with a window or without one."""

from neuralsim.base.failure import fail
from neuralsim.drive.drive_loop import EXPECTED, DriveLoop, HeadlessDrive
from neuralsim.session.options import DriveOptions


def run(options: DriveOptions) -> int:
    """Drive with these options and return the exit code. Errors are one line on stderr."""
    if not options.headless:
        from neuralsim.window.window import NO_DISPLAY, display_available

        if not display_available():
            return fail(f"no display: {NO_DISPLAY}")
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
    return code

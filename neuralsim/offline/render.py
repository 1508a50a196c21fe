"""``neuralsim render``: recordings of CARLA's cameras, or with ``--classes`` a data set's label maps."""

from neuralsim.offline import render_folder
from neuralsim.offline.options import RenderOptions
from neuralsim.offline.recorded import render_recording


def run(options: RenderOptions) -> int:
    """Render a folder; returns the exit code, 1 also if something was skipped. Problems are one line on stderr."""
    return render_folder.run(options) if options.classes is not None else render_recording.run(options)

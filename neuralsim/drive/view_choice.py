"""The choice of what is displayed: one view, or two side by side."""

from neuralsim.renderer.remap import NO_REMAP, Remap
from neuralsim.renderer.views import NAMES, View


class ViewChoice:
    """The chosen view and its title."""

    def __init__(self) -> None:
        self.view = View.NEURAL
        self.split_right = View.TAGS
        self.divider = 0.5  # share of the width of the left half of the split view
        self.remap: Remap = NO_REMAP  # edit of the displayed frames, applied to their tags
        self.missing = False  # whether the frame lacks the plane of the view

    @property
    def needs_rgb(self) -> bool:
        """Whether the view shows the simulator image."""
        return self.view == View.RGB or (self.view == View.SPLIT and self.split_right == View.RGB)

    @property
    def title_of_view(self) -> str:
        """Title of the view for the HUD, with a note if the neural image stands in for it."""
        shown = self.split_right if self.view == View.SPLIT else self.view
        name = NAMES[shown] + (", edited" if shown == View.TAGS and self.remap else "")
        if self.view == View.SPLIT:
            name = f"{NAMES[View.NEURAL]}  |  {name}"
        return f"{name}: not in this frame" if self.missing else name

    def choose(self, view: View) -> None:
        """Show ``view``; choosing the split view again changes its right half."""
        if view == self.view == View.SPLIT:
            self.split_right = View.RGB if self.split_right == View.TAGS else View.TAGS
        self.view = view

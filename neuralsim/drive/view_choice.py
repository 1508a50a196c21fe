"""What is looked at: one view, or two side by side."""

from __future__ import annotations

from neuralsim.renderer.remap import NOTHING, Remap
from neuralsim.renderer.views import NAMES, View


class ViewChoice:
    """The view that was chosen, and what is called what."""

    def __init__(self) -> None:
        self.view = View.NEURAL
        self.split_right = View.TAGS
        self.divider = 0.5  # share of the width that is the left one's in the split view
        self.remap: Remap = NOTHING  # that the pictures shown are painted with: tags are shown so
        self.missing = False  # the frame does not carry the plane of the view

    @property
    def needs_rgb(self) -> bool:
        """Whether the view shows the simulator's own picture."""
        return self.view == View.RGB or (self.view == View.SPLIT and self.split_right == View.RGB)

    @property
    def title_of_view(self) -> str:
        """What the HUD calls the view; says so where the neural picture stands in for it."""
        shown = self.split_right if self.view == View.SPLIT else self.view
        name = NAMES[shown] + (", edited" if shown == View.TAGS and self.remap else "")
        if self.view == View.SPLIT:
            name = f"{NAMES[View.NEURAL]}  |  {name}"
        return f"{name}: not in this frame" if self.missing else name

    def choose(self, view: View) -> None:
        """Show ``view``; the split view chosen again changes its right side."""
        if view == self.view == View.SPLIT:
            self.split_right = View.RGB if self.split_right == View.TAGS else View.TAGS
        self.view = view

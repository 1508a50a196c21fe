"""What the menu over a paused drive offers."""

from __future__ import annotations

from collections.abc import Callable

from neuralsim.window.menu import Item, Page


def pause_page(act: Callable[[str], None], resume: Callable[[], None]) -> Page:
    """The first page; ``act`` carries out a command by its name, ``resume`` closes the menu."""

    def then(command: str) -> Callable[[], None]:
        def carry_out() -> None:
            resume()
            act(command)

        return carry_out

    def items() -> list[Item]:
        return [
            Item("Resume", resume, hint="Esc or Start does the same."),
            Item("Respawn", then("respawn"), hint="On from another place, at rest."),
            Item("All keys", then("help"), hint="H shows them at any time."),
            Item("Quit", lambda: act("quit"), hint="Ends the drive; a recording is finished first."),
        ]

    return Page("Paused", items)

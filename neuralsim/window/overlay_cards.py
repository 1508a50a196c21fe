"""Cards over the whole picture: the help with all keys, and the progress of the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pygame

from neuralsim.window.drawing import (
    AMBER,
    BLUE,
    BODY,
    DARK,
    EDGE,
    GREEN,
    MARGIN,
    SMALL,
    SOFT,
    TITLE,
    TRACK,
    WHITE,
    Pen,
    mix,
)

#: Groups of (title, ((keys, meaning), ...)).
Keys = Sequence[tuple[str, Sequence[tuple[Sequence[str], str]]]]
#: A line of the help card: a title, or keys with their meaning.
_Line = str | tuple[Sequence[str], str]

#: The keys to begin with, shown during the start.
FIRST_KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("W", "S"), "throttle, brake"),
    (("A", "D"), "steer"),
    (("P",), "let the autopilot drive"),
    (("Esc",), "pause, settings, quit"),
    (("H",), "all keys"),
)


class HelpCard:
    """All keys, in as many columns as fit and on as many pages as needed, always large enough to read."""

    def __init__(self, keys: Keys) -> None:
        self.page: int | None = None  # the visible page, None while hidden
        self._keys = keys
        self._pages = 1

    def turn(self) -> None:
        """Show the first page, then the next, and hide the card after the last."""
        page = 0 if self.page is None else self.page + 1
        self.page = page if page < self._pages or page == 0 else None

    def close(self) -> None:
        """Hide the card."""
        self.page = None

    def draw(self, target: pygame.Surface, pen: Pen) -> None:
        """Draw the current page in the middle of the view."""
        if self.page is None:
            return
        pages = pen.surfaces.cached(("help", pen.view.size, id(self._keys)), lambda: self._drawn(pen))
        self._pages = pages.get_width() // pen.view.width
        self.page = min(self.page, self._pages - 1)
        card = pages.subsurface((self.page * pen.view.width, 0), pen.view.size)
        target.blit(card, pen.view)
        pen.occupied.append(pen.view.copy())

    def _drawn(self, pen: Pen) -> pygame.Surface:
        """Return all pages side by side, each the size of the view."""
        px, view = pen.px, pen.view
        row = pen.text("X", SMALL, WHITE).get_height() + px(8)
        pad, between = px(18), px(26)
        room = view.height - 2 * px(MARGIN) - 2 * pad - row
        columns = [_Column.of(pen, lines) for lines in _in_columns(self._keys, max(room // row, 3))]
        pages: list[list[_Column]] = []
        used = view.width
        for column in columns:
            used += between + column.width
            if used > view.width - 2 * px(MARGIN) - 2 * pad:
                pages.append([])
                used = column.width
            pages[-1].append(column)
        sheet = pygame.Surface((view.width * len(pages), view.height), pygame.SRCALPHA)
        for number, page in enumerate(pages):
            width = sum(column.width + between for column in page) - between + 2 * pad
            card = pygame.Rect(
                0, 0, min(width, view.width), max(len(each.lines) for each in page) * row + row + 2 * pad
            )
            card.center = number * view.width + view.width // 2, view.height // 2
            sheet.blit(pen.surfaces.plate(card.size, px(14), DARK, 236, EDGE), card)
            x = card.left + pad
            for column in page:
                for n, line in enumerate(column.lines):
                    _draw_line(sheet, pen, line, x, card.top + pad + n * row, column.caps)
                x += column.width + between
            last = number == len(pages) - 1
            footer = pen.text("H  close" if last else f"H  page {number + 2} of {len(pages)}", SMALL, BLUE)
            sheet.blit(footer, (card.right - pad - footer.get_width(), card.bottom - pad // 2 - footer.get_height()))
        return sheet


@dataclass
class _Column:
    """The lines of a column, and the widths of its keys and of the column, px."""

    lines: list[_Line]
    caps: int
    width: int

    @staticmethod
    def of(pen: Pen, lines: list[_Line]) -> _Column:
        rows = [line for line in lines if not isinstance(line, str)]
        caps = max(_caps_width(pen, keys) for keys, _ in rows)
        meanings = max(pen.text(meaning, SMALL, SOFT).get_width() for _, meaning in rows)
        return _Column(lines, caps, caps + pen.px(10) + meanings)


def _draw_line(target: pygame.Surface, pen: Pen, line: _Line, x: int, y: int, caps: int) -> None:
    if isinstance(line, str):
        if line:
            target.blit(pen.text(line, BODY, BLUE), (x, y))
        return
    keys, meaning = line
    at = x
    for key in keys:
        at += pen.key(target, key, at, y) + pen.px(4)
    target.blit(pen.text(meaning, SMALL, SOFT), (x + caps + pen.px(10), y + pen.px(3)))


def _caps_width(pen: Pen, keys: Sequence[str]) -> int:
    return sum(pen.key_width(key) + pen.px(4) for key in keys)


def _in_columns(keys: Keys, most: int) -> list[list[_Line]]:
    """Split the groups into columns of at most ``most`` lines, with empty lines between and titles above rows."""
    columns: list[list[_Line]] = [[]]
    for title, rows in keys:
        if columns[-1] and len(columns[-1]) + 1 + len(rows) + 1 > most:
            columns.append([])
        elif columns[-1]:
            columns[-1].append("")
        columns[-1].append(title)
        for keys_, meaning in rows:
            if len(columns[-1]) >= most:
                columns.append([title])
            columns[-1].append((keys_, meaning))
    return columns


@dataclass
class Loading:
    """Progress of the start."""

    steps: list[tuple[str, bool]]  # name, and whether it is done
    seconds: float = 0.0  # since the start began
    note: str = ""  # why it takes longer than usual
    keys: Sequence[tuple[tuple[str, ...], str]] = FIRST_KEYS  # to begin with


def draw_loading(target: pygame.Surface, pen: Pen, loading: Loading) -> None:
    """Draw the loading screen: the title, the steps, the elapsed time, and the keys to begin with."""
    view = target.get_rect()
    pen.begin(view)
    px = pen.px
    target.fill((14, 18, 25))
    row = pen.text("X", BODY, WHITE).get_height() + px(9)
    title = pen.text("NeuralSim", 2 * TITLE, WHITE)
    wide = view.width >= px(700)
    keys = len(loading.keys) if wide or view.height > row * (len(loading.steps) + len(loading.keys) + 5) else 0
    lines = len(loading.steps) + (0 if wide else keys + (keys > 0))
    x = max(view.centerx - (px(270) if wide else px(150)), px(MARGIN))
    note = pen.wrapped(loading.note, SMALL, AMBER, min(view.width - x - px(MARGIN), px(540)))
    height = title.get_height() + px(16) + row * max(lines, keys if wide else 0) + len(note) * row
    y = max(view.centery - height // 2, px(MARGIN))
    target.blit(title, (x, y))
    clock = pen.text(f"{loading.seconds:.0f} s", BODY, SOFT)
    target.blit(clock, (x + title.get_width() + px(16), y + title.get_height() - clock.get_height() - px(5)))
    top = y = y + title.get_height() + px(16)
    for text, done in loading.steps:
        pulse = abs((loading.seconds * 1.4) % 2.0 - 1.0)
        colour = GREEN if done else mix(TRACK, BLUE, round(pulse * 8) / 8)
        label = pen.text(text, BODY, SOFT if done else WHITE)
        target.blit(pen.surfaces.disc(px(5), colour), (x + px(2), y + label.get_height() // 2 - px(5)))
        target.blit(label, (x + px(22), y))
        y += row
    at, below = (view.centerx + px(30), top) if wide else (x, y + row // 2)
    caps = max(_caps_width(pen, each) for each, _ in loading.keys)
    for each, meaning in loading.keys[:keys]:
        _draw_line(target, pen, (each, meaning), at, below, caps)
        below += row
    y = max(y, below) + px(8)
    for line in note:
        target.blit(line, (x, y))
        y += line.get_height() + px(2)

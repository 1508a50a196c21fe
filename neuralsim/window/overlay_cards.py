"""Cards over the whole picture: every key there is, and what the start is waiting for."""

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
#: A line of the card: a title, or keys with their meaning.
_Line = str | tuple[Sequence[str], str]

#: What one needs to begin.
FIRST_KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("W", "S"), "throttle, brake"),
    (("A", "D"), "steer"),
    (("P",), "let the autopilot drive"),
    (("Esc",), "pause, settings, quit"),
    (("H",), "every other key"),
)


class HelpCard:
    """All keys, in as many columns as fit, on as many pages as it takes: never smaller than can be read."""

    def __init__(self, keys: Keys) -> None:
        self.page: int | None = None  # shown; None: the card is not
        self._keys = keys
        self._pages = 1

    def turn(self) -> None:
        """Show the first page, then the next, then none."""
        page = 0 if self.page is None else self.page + 1
        self.page = page if page < self._pages or page == 0 else None

    def close(self) -> None:
        """Show none."""
        self.page = None

    def draw(self, target: pygame.Surface, pen: Pen) -> None:
        """The page that is turned to, in the middle of the view."""
        if self.page is None:
            return
        pages = pen.paint.keep(("help", pen.view.size, id(self._keys)), lambda: self._drawn(pen))
        self._pages = pages.get_width() // pen.view.width
        self.page = min(self.page, self._pages - 1)
        card = pages.subsurface((self.page * pen.view.width, 0), pen.view.size)
        target.blit(card, pen.view)
        pen.taken.append(pen.view.copy())

    def _drawn(self, pen: Pen) -> pygame.Surface:
        """All pages side by side, each of the view's size."""
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
        everything = pygame.Surface((view.width * len(pages), view.height), pygame.SRCALPHA)
        for number, page in enumerate(pages):
            width = sum(column.width + between for column in page) - between + 2 * pad
            card = pygame.Rect(
                0, 0, min(width, view.width), max(len(each.lines) for each in page) * row + row + 2 * pad
            )
            card.center = number * view.width + view.width // 2, view.height // 2
            everything.blit(pen.paint.plate(card.size, px(14), DARK, 236, EDGE), card)
            x = card.left + pad
            for column in page:
                for n, line in enumerate(column.lines):
                    _draw_line(everything, pen, line, x, card.top + pad + n * row, column.caps)
                x += column.width + between
            last = number == len(pages) - 1
            said = pen.text("H  close" if last else f"H  page {number + 2} of {len(pages)}", SMALL, BLUE)
            everything.blit(said, (card.right - pad - said.get_width(), card.bottom - pad // 2 - said.get_height()))
        return everything


@dataclass
class _Column:
    """Lines below each other, and the widths of their keys and of all, px."""

    lines: list[_Line]
    caps: int
    width: int

    @staticmethod
    def of(pen: Pen, lines: list[_Line]) -> _Column:
        rows = [line for line in lines if not isinstance(line, str)]
        caps = max(_caps_width(pen, keys) for keys, _ in rows)
        words = max(pen.text(said, SMALL, SOFT).get_width() for _, said in rows)
        return _Column(lines, caps, caps + pen.px(10) + words)


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
    """Groups in columns of at most ``most`` lines, no title alone at a column's end, an empty line between groups."""
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
    """What the start is waiting for."""

    steps: list[tuple[str, bool]]  # what, and whether it is done
    seconds: float = 0.0  # since it began
    note: str = ""  # why it takes longer than usual
    keys: Sequence[tuple[tuple[str, ...], str]] = FIRST_KEYS  # to begin with


def draw_loading(target: pygame.Surface, pen: Pen, loading: Loading) -> None:
    """The picture before the first frame: the name, what is being done and for how long, the keys to begin with."""
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
        words = pen.text(text, BODY, SOFT if done else WHITE)
        target.blit(pen.paint.disc(px(5), colour), (x + px(2), y + words.get_height() // 2 - px(5)))
        target.blit(words, (x + px(22), y))
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

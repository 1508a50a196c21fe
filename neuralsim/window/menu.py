"""The menu over a paused drive: pages of items, operated by keys, mouse or gamepad."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pygame

from neuralsim.window.drawing import AMBER, BLUE, BODY, DARK, EDGE, MARGIN, SMALL, SOFT, TITLE, WHITE, Pen


@dataclass
class MenuItem:
    """One line of a page, with a ``value`` that ``change`` steps through, an action ``act``, or both."""

    label: str
    act: Callable[[], None] | None = None
    value: Callable[[], str] | None = None
    change: Callable[[int], None] | None = None  # 1: next value, -1: previous
    hint: str = ""  # explanation at the bottom of the menu
    picture: Path | None = None  # shown next to the menu while the item is selected, where there is room


@dataclass
class MenuPage:
    """Items under a title; ``items`` is called whenever the page is opened or something was chosen."""

    title: str
    items: Callable[[], Sequence[MenuItem]]
    closed: Callable[[], None] | None = None  # called when the page is left


class Menu:
    """A stack of pages. ``changed`` is called when the menu opens or closes."""

    def __init__(self, changed: Callable[[bool], None] = lambda shown: None) -> None:
        self.changed = changed
        self._pages: list[tuple[MenuPage, int]] = []  # with the index of the selected item
        self._items: Sequence[MenuItem] = ()
        self._boxes: list[tuple[pygame.Rect, int]] = []  # of the items, as last drawn
        self._first = 0  # index of the first visible item
        self._stick = 0  # direction in which a stick is held
        self._capture: Callable[[pygame.event.Event], bool] | None = None
        self.prompt = ""  # shown while events are captured

    @property
    def shown(self) -> bool:
        """Whether the menu is open."""
        return bool(self._pages)

    @property
    def title(self) -> str:
        """Title of the open page, "" for none."""
        return self._pages[-1][0].title if self._pages else ""

    @property
    def chosen(self) -> MenuItem | None:
        """The item that Enter would act on."""
        return self._items[self._pages[-1][1]] if self._pages and self._items else None

    def open(self, page: MenuPage) -> None:
        """Open ``page`` on top of the others."""
        first = not self._pages
        self._pages.append((page, 0))
        self._refresh()
        if first:
            self.changed(True)

    def ask(self, prompt: str, capture: Callable[[pygame.event.Event], bool]) -> None:
        """Show ``prompt`` and pass events to ``capture`` instead of the menu until it returns False."""
        self.prompt, self._capture = prompt, capture

    def back(self) -> None:
        """Close the open page."""
        if not self._pages:
            return
        page, _ = self._pages.pop()
        self._capture, self.prompt = None, ""
        if page.closed is not None:
            page.closed()
        self._refresh()
        if not self._pages:
            self.changed(False)

    def close(self) -> None:
        """Close all pages."""
        while self._pages:
            self.back()

    def handle(self, event: pygame.event.Event) -> bool:
        """Handle an event while the menu is open; return whether the menu consumed it."""
        if not self._pages:
            return False
        if self._capture is not None:
            if not self._capture(event):
                self._capture, self.prompt = None, ""
                self._refresh()
            return event.type in (pygame.KEYDOWN, pygame.KEYUP, pygame.JOYAXISMOTION, pygame.JOYBUTTONDOWN)
        if event.type == pygame.KEYDOWN:
            self._key(event.key)
        elif event.type == pygame.JOYHATMOTION:
            self._move(-event.value[1], event.value[0])
        elif event.type == pygame.JOYAXISMOTION:
            self._lean(event.axis, event.value)
        elif event.type == pygame.JOYBUTTONDOWN:
            self._button(event.button)
        elif event.type == pygame.MOUSEMOTION:
            self._point(event.pos)
        elif event.type == pygame.MOUSEBUTTONDOWN:
            self._click(event)
        else:
            return event.type in (pygame.KEYUP, pygame.JOYBUTTONUP)
        return True

    def _key(self, key: int) -> None:
        steps = {
            pygame.K_UP: (-1, 0),
            pygame.K_DOWN: (1, 0),
            pygame.K_LEFT: (0, -1),
            pygame.K_RIGHT: (0, 1),
            pygame.K_w: (-1, 0),
            pygame.K_s: (1, 0),
            pygame.K_a: (0, -1),
            pygame.K_d: (0, 1),
        }
        if key in steps:
            self._move(*steps[key])
        elif key in (pygame.K_HOME, pygame.K_END):
            self._select(0 if key == pygame.K_HOME else len(self._items) - 1)
        elif key in (pygame.K_RETURN, pygame.K_KP_ENTER, pygame.K_SPACE):
            self._act()
        elif key in (pygame.K_ESCAPE, pygame.K_BACKSPACE):
            self.back()

    def _button(self, button: int) -> None:
        """Handle A (act), B (back) and Start (close), in XInput's order of buttons."""
        if button == 0:
            self._act()
        elif button == 1:
            self.back()
        elif button == 7:
            self.close()

    def _lean(self, axis: int, value: float) -> None:
        """Move once when the left stick leaves its centre."""
        if axis not in (0, 1):
            return
        lean = 0 if abs(value) < 0.5 else (1 if value > 0.0 else -1) * (axis + 1)
        if lean != self._stick and lean:
            self._move(*((0, lean) if axis == 0 else (lean // 2, 0)))
        self._stick = lean

    def _move(self, down: int, right: int) -> None:
        item = self.chosen
        if down:
            self._select((self._pages[-1][1] + down) % max(len(self._items), 1))
        elif right and item is not None and item.change is not None:
            item.change(right)
            self._refresh()

    def _act(self) -> None:
        item = self.chosen
        if item is None:
            return
        if item.act is not None:
            item.act()
        elif item.change is not None:
            item.change(1)
        self._refresh()

    def _point(self, at: tuple[int, int]) -> None:
        for box, index in self._boxes:
            if box.collidepoint(at):
                self._select(index)

    def _click(self, event: pygame.event.Event) -> None:
        if event.button in (4, 5):  # the wheel
            self._move(1 if event.button == 5 else -1, 0)
            return
        for box, index in self._boxes:
            if box.collidepoint(event.pos):
                self._select(index)
                if event.button == 1:
                    self._act()
                elif event.button == 3:
                    self._move(0, -1)
                return

    def _select(self, index: int) -> None:
        self._pages[-1] = (self._pages[-1][0], index)

    def _refresh(self) -> None:
        """Reload the page's items, which a choice may have changed."""
        if not self._pages:
            self._items = ()
            return
        page, index = self._pages[-1]
        self._items = page.items()
        self._select(min(index, max(len(self._items) - 1, 0)))

    def draw(self, target: pygame.Surface, pen: Pen) -> None:
        """Draw the open page in the middle of the dimmed view."""
        if not self._pages:
            return
        view, px = pen.view, pen.px
        target.blit(pen.surfaces.plate(view.size, 0, DARK, 150), view)
        pen.occupied.append(view.copy())
        title, index = self._pages[-1][0].title, self._pages[-1][1]
        row = pen.text("X", BODY, WHITE).get_height() + px(12)
        head, pad = pen.text(title, TITLE, WHITE), px(18)
        width = min(px(520), view.width - 2 * px(MARGIN))
        footer, colour = (self.prompt, AMBER) if self.prompt else (self._items[index].hint if self._items else "", SOFT)
        hint = pen.wrapped(footer, SMALL, colour, width - 2 * pad)
        foot = max(len(hint), 1) * (pen.text("X", SMALL, SOFT).get_height() + px(2)) + px(8)
        room = view.height - 2 * px(MARGIN) - head.get_height() - px(14) - foot - 2 * pad
        count = min(len(self._items), max(room // row, 1))
        self._first = min(max(self._first, index - count + 1), index)
        self._first = max(min(self._first, len(self._items) - count), 0)
        box = pygame.Rect(0, 0, width, head.get_height() + px(14) + count * row + foot + 2 * pad)
        box.center = view.center
        self._draw_picture(target, pen, box)
        target.blit(pen.surfaces.plate(box.size, px(14), DARK, 240, EDGE), box)
        target.blit(head, (box.left + pad, box.top + pad))
        if count < len(self._items):
            position = pen.text(f"{index + 1} of {len(self._items)}", SMALL, SOFT)
            target.blit(position, (box.right - pad - position.get_width(), box.top + pad + px(4)))
        self._boxes = []
        y = box.top + pad + head.get_height() + px(14)
        for number in range(self._first, self._first + count):
            line = pygame.Rect(box.left + px(8), y, width - 2 * px(8), row)
            self._draw_item(target, pen, self._items[number], line, number == index)
            self._boxes.append((line, number))
            y += row
        y += px(6)
        for text in hint:
            target.blit(text, (box.left + pad, y))
            y += text.get_height() + px(2)

    def _draw_picture(self, target: pygame.Surface, pen: Pen, box: pygame.Rect) -> None:
        """Draw the selected item's picture next to the menu; move the ``box`` of a page that has pictures aside."""
        size, gap = (pen.px(320), pen.px(160)), pen.px(12)
        left = (pen.view.width - box.width - gap - size[0]) // 2
        if left < pen.px(MARGIN) or not any(item.picture for item in self._items):
            return
        box.left = pen.view.left + left
        path = self.chosen.picture if self.chosen else None
        if path is not None:
            load = lambda: pygame.transform.smoothscale(pygame.image.load(path), size)  # noqa: E731
            target.blit(pen.surfaces.cached(("picture", path, size), load), (box.right + gap, box.top))

    @staticmethod
    def _draw_item(target: pygame.Surface, pen: Pen, item: MenuItem, line: pygame.Rect, chosen: bool) -> None:
        px = pen.px
        if chosen:
            target.blit(pen.surfaces.plate(line.size, px(7), BLUE, 62, (BLUE, 150)), line)
        colour = WHITE if chosen else SOFT
        label = pen.text(item.label, BODY, colour)
        target.blit(label, (line.left + px(10), line.centery - label.get_height() // 2))
        if item.value is None:
            return
        shown = f"<  {item.value()}  >" if chosen and item.change is not None else item.value()
        room = line.width - label.get_width() - px(34)
        value = pen.shortened(shown, BODY, AMBER if chosen else WHITE, room)
        target.blit(value, (line.right - px(10) - value.get_width(), line.centery - value.get_height() // 2))

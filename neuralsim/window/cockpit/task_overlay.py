"""What a task shows: how it stands, its result, and the ghost of the last run on the road."""

import numpy as np
import pygame

from bridge.messages import Frame
from neuralsim.challenge.ghost import outline
from neuralsim.drive.interactive_drive import HudState
from neuralsim.drive.task_control import Card
from neuralsim.window.drawing import AMBER, BODY, GREEN, MARGIN, SMALL, SOFT, TITLE, WHITE, Pen

_GHOST = (150, 205, 255)
_FACE_ALPHA = 46  # of 255
_EDGE_ALPHA = 150  # of 255
_FACES = ((0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
_RANGE = 120.0  # m
_HIDDEN = 1.5  # m that something may stand in front of the ghost's near end before it hides it


def draw_status(target: pygame.Surface, pen: Pen, state: HudState) -> None:
    """Draw how the task stands at the top of the view."""
    if not state.task or state.card is not None:
        return
    px, view = pen.px, pen.view
    text = pen.text(state.task, BODY, WHITE)
    box = pygame.Rect(0, 0, text.get_width() + px(24), text.get_height() + px(12))
    top, middle = view.top + px(MARGIN), view.centerx - box.width // 2
    lower = top + box.height + px(6)
    pen.place(box, [(middle, top), (view.left + view.width // 3 - box.width // 2, top), (middle, lower)])
    pen.plate(target, box, 10, 170)
    target.blit(text, text.get_rect(center=box.center))


def draw_card(target: pygame.Surface, pen: Pen, card: Card) -> None:
    """Draw the result of a task in the middle of the view."""
    px, view = pen.px, pen.view
    width = min(px(560), view.width - 2 * px(MARGIN))
    pad = px(18)
    title = pen.wrapped(card.title, TITLE, GREEN if card.achieved else AMBER, width - 2 * pad)
    rows = [row for line in card.lines for row in pen.wrapped(line, BODY, WHITE, width - 2 * pad)]
    rows += pen.wrapped(card.keys, SMALL, SOFT, width - 2 * pad)
    height = sum(row.get_height() + px(5) for row in (*title, *rows)) + 2 * pad
    box = pygame.Rect(0, 0, width, min(height, view.height - 2 * px(MARGIN)))
    box.center = view.center
    pen.plate(target, box, 14, 225)
    y = box.top + pad
    for row in (*title, *rows):
        if y + row.get_height() > box.bottom:
            break
        target.blit(row, (box.left + pad, y))
        y += row.get_height() + px(5)


def draw_ghost(target: pygame.Surface, view: pygame.Rect, frame: Frame, place: np.ndarray) -> bool:
    """Draw the ghost where it is in the picture of ``frame``; return whether it was visible.

    What stands in front of it, by the depth of the frame, hides it.
    """
    seen = outline(frame.camera, place)
    if seen is None or not frame.camera.width:
        return False
    pixels, distance = seen
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    size = np.array([frame.camera.width, frame.camera.height])
    if distance > _RANGE or (high < 0.0).any() or (low > size).any():
        return False
    scale = np.array([view.width, view.height]) / size
    box = pygame.Rect(np.floor(low * scale).tolist(), np.ceil((high - low) * scale + 1.0).tolist())
    box = box.clip((0, 0, view.width, view.height))
    if not box.width or not box.height:
        return False
    layer = pygame.Surface(box.size, pygame.SRCALPHA)
    points = pixels * scale - box.topleft
    for face in _FACES:
        corners = points[list(face)].tolist()
        shape = pygame.Surface(box.size, pygame.SRCALPHA)
        pygame.draw.polygon(shape, (*_GHOST, _FACE_ALPHA), corners)
        layer.blit(shape, (0, 0))
    for face in _FACES:
        corners = points[list(face)].tolist()
        pygame.draw.lines(layer, (*_GHOST, _EDGE_ALPHA), True, corners, 2)
    depth = frame.planes.get("depth")
    if depth is not None:
        columns = ((np.arange(box.left, box.right) + 0.5) / scale[0]).astype(int).clip(0, depth.shape[1] - 1)
        rows = ((np.arange(box.top, box.bottom) + 0.5) / scale[1]).astype(int).clip(0, depth.shape[0] - 1)
        hidden = depth[np.ix_(rows, columns)] < distance - _HIDDEN
        alpha = pygame.surfarray.pixels_alpha(layer)
        alpha[hidden.T] = 0
        visible = bool(alpha.any())
        del alpha  # unlocks the layer
        if not visible:
            return False
    target.blit(layer, (view.left + box.left, view.top + box.top))
    return True

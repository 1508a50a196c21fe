"""What pages say, as JSON, checked before it is used."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Number = Annotated[int, Meta(ge=0, lt=1 << 48)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Side = Annotated[float, Meta(ge=-1.0, le=1.0)]
Place = Annotated[float, Meta(ge=-1e6, le=1e6)]
Word = Annotated[str, Meta(max_length=32)]
MOST = 64 * 1024  # bytes of a message


class PageMessage(msgspec.Struct, tag_field="t", forbid_unknown_fields=True):
    """The base of all."""


class Hello(PageMessage, tag="hello"):
    """The first one: who is there."""

    token: Annotated[str, Meta(max_length=256)]


class Offer(PageMessage, tag="offer"):
    """The page's side of a WebRTC connection."""

    sdp: Annotated[str, Meta(max_length=MOST // 2)]


class Fallback(PageMessage, tag="fallback"):
    """The page wants pictures over this WebSocket, until WebRTC works; or since it does no longer."""

    lost: bool = False


class Driving(PageMessage, tag="drive"):
    """All that the driver holds and has pressed: complete in itself, so that a lost one loses nothing.

    Sent when it changes and ten times a second. ``pressed`` counts how often each command was asked for.
    """

    n: Number
    held: Annotated[tuple[Word, ...], Meta(max_length=16)] = ()  # actions of keys
    pressed: Annotated[dict[Word, Number], Meta(max_length=32)] = {}
    analogue: bool = False  # a gamepad, wheel or touch gives what follows
    throttle: Share = 0.0
    brake: Share = 0.0
    steer: Side = 0.0
    hand_brake: bool = False
    leaving: bool = False


class ViewOf(PageMessage, tag="view"):
    """What the driver looks at."""

    view: Annotated[int, Meta(ge=1, le=6)]


class Divide(PageMessage, tag="divide"):
    """Where the two halves of the split view meet."""

    share: Share


class Go(PageMessage, tag="go"):
    """Where to be led, m; nowhere without a place."""

    place: tuple[Place, Place] | None = None


class MenuOpen(PageMessage, tag="menu"):
    """The menu is opened or closed: the simulation stands while it is open."""

    shown: bool


class Choose(PageMessage, tag="choose"):
    """A value of a setting was chosen in the menu, by its place among those that were offered."""

    name: Word
    index: Annotated[int, Meta(ge=0, lt=256)]


class Apply(PageMessage, tag="apply"):
    """What was chosen and needs a new start is to be done now."""


class Seen(PageMessage, tag="seen"):
    """A picture over the WebSocket has come."""

    n: Number


class KeyFrame(PageMessage, tag="keyframe"):
    """The video has to begin anew: something of it was lost."""


class Measured(PageMessage, tag="measured"):
    """What the page measured lately: times from key to picture, pictures shown."""

    latency: Annotated[tuple[Annotated[float, Meta(ge=0.0, le=60_000.0)], ...], Meta(max_length=256)]  # ms
    shown: Annotated[int, Meta(ge=0, le=100_000)]  # pictures, late-warped ones among them
    painted: Annotated[int, Meta(ge=0, le=100_000)]  # of which distinct painted ones
    seconds: Annotated[float, Meta(gt=0.0, le=3600.0)]
    transport: Literal["webrtc", "websocket"]


Message = (
    Hello | Offer | Fallback | Driving | ViewOf | Divide | Go | MenuOpen | Choose | Apply | Seen | KeyFrame | Measured
)
_DECODER = msgspec.json.Decoder(Message)


class MessageError(ValueError):
    """Something that no page of ours says."""


def decode(text: str | bytes) -> Message:
    """The message in ``text``. :class:`MessageError` for anything else."""
    if len(text) > MOST:
        raise MessageError("too long")
    try:
        message: Message = _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MessageError(str(error)) from None
    return message

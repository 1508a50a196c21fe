"""The JSON messages from pages, validated before use."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Number = Annotated[int, Meta(ge=0, lt=1 << 48)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Side = Annotated[float, Meta(ge=-1.0, le=1.0)]
Place = Annotated[float, Meta(ge=-1e6, le=1e6)]
Word = Annotated[str, Meta(max_length=32)]
MOST = 64 * 1024  # maximum bytes of a message


class PageMessage(msgspec.Struct, tag_field="t", forbid_unknown_fields=True):
    """The base class of all messages."""


class Hello(PageMessage, tag="hello"):
    """The first message: the token."""

    token: Annotated[str, Meta(max_length=256)]


class Offer(PageMessage, tag="offer"):
    """The page's WebRTC offer."""

    sdp: Annotated[str, Meta(max_length=MOST // 2)]


class Fallback(PageMessage, tag="fallback"):
    """A request for images over this WebSocket until WebRTC works; ``lost``: it has stopped working."""

    lost: bool = False


class Driving(PageMessage, tag="drive"):
    """The complete state of the driver's input, so that a lost message loses nothing.

    It is sent when it changes and ten times a second. ``pressed`` counts the presses of each command.
    """

    n: Number
    held: Annotated[tuple[Word, ...], Meta(max_length=16)] = ()  # actions of keys
    pressed: Annotated[dict[Word, Number], Meta(max_length=32)] = {}
    analogue: bool = False  # whether a gamepad, wheel or touch provides the values below
    throttle: Share = 0.0
    brake: Share = 0.0
    steer: Side = 0.0
    hand_brake: bool = False
    leaving: bool = False


class ViewOf(PageMessage, tag="view"):
    """The view that the driver has chosen."""

    view: Annotated[int, Meta(ge=1, le=6)]


class Divide(PageMessage, tag="divide"):
    """The position of the divider of the split view."""

    share: Share


class Go(PageMessage, tag="go"):
    """The destination in m, None to clear it."""

    place: tuple[Place, Place] | None = None


class MenuOpen(PageMessage, tag="menu"):
    """The menu was opened or closed; the simulation pauses while it is open."""

    shown: bool


class Choose(PageMessage, tag="choose"):
    """A setting was changed in the menu, to the value with this index."""

    name: Word
    index: Annotated[int, Meta(ge=0, lt=256)]


class Apply(PageMessage, tag="apply"):
    """Request to apply the choices that need a restart."""


class Seen(PageMessage, tag="seen"):
    """Acknowledgement of an image over the WebSocket."""

    n: Number


class KeyFrame(PageMessage, tag="keyframe"):
    """Request for a key frame, after a loss."""


class Measured(PageMessage, tag="measured"):
    """The page's recent measurements: input latencies and displayed images."""

    latency: Annotated[tuple[Annotated[float, Meta(ge=0.0, le=60_000.0)], ...], Meta(max_length=256)]  # ms
    shown: Annotated[int, Meta(ge=0, le=100_000)]  # displayed images, late-warped ones included
    rendered: Annotated[int, Meta(ge=0, le=100_000)]  # distinct rendered frames among them
    seconds: Annotated[float, Meta(gt=0.0, le=3600.0)]
    transport: Literal["webrtc", "websocket"]


Message = (
    Hello | Offer | Fallback | Driving | ViewOf | Divide | Go | MenuOpen | Choose | Apply | Seen | KeyFrame | Measured
)
_DECODER = msgspec.json.Decoder(Message)


class MessageError(ValueError):
    """Not a valid message of a page."""


def decode(text: str | bytes) -> Message:
    """Return the message in ``text``. Raises :class:`MessageError`."""
    if len(text) > MOST:
        raise MessageError("the message is too long")
    try:
        message: Message = _DECODER.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise MessageError(str(error)) from None
    return message

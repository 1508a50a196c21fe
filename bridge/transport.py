"""Moved to ``bridge.link.transport``. This name goes with the next release."""

from bridge.link.transport import (
    ControlReceiver,
    ControlSender,
    FramePublisher,
    FrameSubscriber,
    Keys,
    LinkError,
    LinkTimeout,
    control_endpoint,
    generate_keys,
    load_keys,
)

__all__ = [
    "ControlReceiver",
    "ControlSender",
    "FramePublisher",
    "FrameSubscriber",
    "Keys",
    "LinkError",
    "LinkTimeout",
    "control_endpoint",
    "generate_keys",
    "load_keys",
]

"""Collisions in words."""

from __future__ import annotations

from bridge.messages import Frame

#: What a thing that was run into is called, by the word of ``bridge.messages.Impact``.
THINGS = {
    "building": "a building",
    "wall": "a wall",
    "fence": "a fence",
    "pole": "a pole",
    "guard rail": "a guard rail",
    "vegetation": "a tree or a hedge",
    "traffic sign": "a sign",
    "traffic light": "a traffic light",
    "static": "something on the pavement",
    "dynamic": "something that lies about",
    "bridge": "a bridge",
    "pedestrian": "a pedestrian",
    "car": "a car",
    "truck": "a lorry",
    "bus": "a bus",
    "motorcycle": "a motorcycle",
    "bicycle": "a cyclist",
    "train": "a train",
}
FELT = 0.3  # m/s of a blow from which on it is felt


def said(frame: Frame) -> str:
    """The newest collision in words: what with, and how much speed it took."""
    impact = frame.impact
    what = THINGS.get(impact.what, f"a {impact.what}" if impact.what else "something")
    lost = f", {impact.speed * 3.6:.0f} km/h lost" if impact.speed >= FELT else ""
    return f"Collision {frame.ego.collisions}: {what}{lost}"

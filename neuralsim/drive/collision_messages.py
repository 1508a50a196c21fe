"""Messages about collisions."""

from bridge.messages import Frame

#: What the message calls an obstacle, by ``bridge.messages.Impact.what``.
OBSTACLES = {
    "building": "a building",
    "wall": "a wall",
    "fence": "a fence",
    "pole": "a pole",
    "guard rail": "a guard rail",
    "vegetation": "a tree or a hedge",
    "traffic sign": "a sign",
    "traffic light": "a traffic light",
    "static": "street furniture",
    "dynamic": "a loose object",
    "bridge": "a bridge",
    "pedestrian": "a pedestrian",
    "car": "a car",
    "truck": "a truck",
    "bus": "a bus",
    "motorcycle": "a motorcycle",
    "bicycle": "a cyclist",
    "train": "a train",
}
NOTICEABLE = 0.3  # m/s, the velocity change from which an impact is felt


def collision_message(frame: Frame) -> str:
    """Return a message about the latest collision: what was hit, and how much speed was lost."""
    impact = frame.impact
    what = OBSTACLES.get(impact.what, f"a {impact.what}" if impact.what else "something")
    lost = f", {impact.speed * 3.6:.0f} km/h lost" if impact.speed >= NOTICEABLE else ""
    return f"Collision {frame.ego.collisions}: {what}{lost}"

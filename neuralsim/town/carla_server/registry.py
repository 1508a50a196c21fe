"""The registry of CARLA's server functions, by the name that the client calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Answered without the world's lock: what needs none of it, takes it itself, or would hold it for long.
WITHOUT_LOCK = {
    "version", "load_new_episode", "tick_cue", "get_sensor_token", "get_episode_settings", "apply_batch",
    "get_map_data", "get_navigation_mesh", "get_required_files", "request_file", "copy_opendrive_to_file",
    "get_environment_objects", "get_all_level_BBs", "get_names_of_all_objects", "replay_file",
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {}


def function(implementation: Callable[..., Any]) -> Callable[..., Any]:
    """Register a server function under its own name.

    It runs under the town's lock (except those in ``WITHOUT_LOCK``) and gets the server, the call and the client's
    arguments; ``None`` is CARLA's void.
    """
    FUNCTIONS[implementation.__name__] = implementation
    return implementation


def accept(*names: str) -> None:
    """Register functions that are taken and change nothing, whatever their arguments."""
    for name in names:
        FUNCTIONS[name] = _nothing


def _nothing(*_: Any) -> None:
    return None

"""The registry of CARLA's server functions by the name that clients call."""

from collections.abc import Callable
from typing import Any

#: Functions called without the world's lock: they do not need it, take it themselves, or would hold it for long.
WITHOUT_LOCK = {
    "version", "load_new_episode", "tick_cue", "get_sensor_token", "get_episode_settings", "apply_batch",
    "get_map_data", "get_navigation_mesh", "get_required_files", "request_file", "copy_opendrive_to_file",
    "get_environment_objects", "get_all_level_BBs", "get_names_of_all_objects", "replay_file",
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {}


def function(implementation: Callable[..., Any]) -> Callable[..., Any]:
    """Register a server function under its own name.

    It runs under the town's lock (unless listed in ``WITHOUT_LOCK``) and receives the server, the call and the client's
    arguments. ``None`` stands for CARLA's void.
    """
    FUNCTIONS[implementation.__name__] = implementation
    return implementation


def accept(*names: str) -> None:
    """Register functions that are accepted with any arguments and do nothing."""
    for name in names:
        FUNCTIONS[name] = _nothing


def _nothing(*_: Any) -> None:
    return None

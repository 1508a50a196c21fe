"""The camera rig on servers that lack some of the embedded town's features."""

from __future__ import annotations

from typing import Any

import carla
import pytest

from bridge.carla_client.camera_rig import CameraRig, RigSpec


class _Blueprint:
    """A server's blueprint with these attributes, which records their values."""

    def __init__(self, *attributes: str) -> None:
        self._attributes, self.settings = attributes, dict[str, str]()

    def has_attribute(self, name: str) -> bool:
        return name in self._attributes

    def set_attribute(self, name: str, value: str) -> None:
        assert self.has_attribute(name), "CARLA ends the program here"
        self.settings[name] = value


class _World:
    """A world with a single blueprint, whose cameras deliver nothing."""

    def __init__(self, blueprint: _Blueprint) -> None:
        self._blueprint = blueprint

    def get_blueprint_library(self) -> _World:
        return self

    def find(self, name: str) -> _Blueprint:
        assert name == "sensor.camera.rgb"
        return self._blueprint

    def spawn_actor(self, *_: Any, **__: Any) -> _World:
        return self

    def listen(self, _: Any) -> None:
        pass


@pytest.mark.parametrize(("own", "size"), [((), ("17", "9")), (("half_size",), ("33", "18"))])
def test_half_size_image_uses_a_smaller_camera_if_the_server_cannot_subsample(
    own: tuple[str, ...], size: tuple[str, str]
) -> None:
    blueprint = _Blueprint("image_size_x", "image_size_y", "fov", *own)
    spec = RigSpec((33, 18), 70.0, carla.Transform())
    CameraRig(_World(blueprint), None, spec).select_planes(["rgb_half"])  # type: ignore[arg-type]
    assert (blueprint.settings["image_size_x"], blueprint.settings["image_size_y"]) == size
    assert blueprint.settings["fov"] == "70.0"
    assert blueprint.settings.get("half_size", "") == "true" * len(own)

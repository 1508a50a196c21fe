"""Render a frame of the embedded town: no process, no socket, no window.

python examples/render_town.py town.png     # needs neuralsim[drive]
"""

import sys

try:
    import cv2

    from neuralsim.renderer import NeuralRenderer
    from neuralsim.town.core.types import Transform
    from neuralsim.town.frames import frame_of
    from neuralsim.town.world import World
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "neuralsim[drive]"')


def main(out: str, town: str = "oldtown", size: tuple[int, int] = (512, 256), ticks: int = 30, **options: str) -> None:
    """Ride along in a car of the town's traffic for ``ticks`` and write the last image."""
    world = World(town, seed=1)
    car = next(actor for actor in world.actors.values() if actor.blueprint.id.startswith("vehicle."))
    lens = {"image_size_x": str(size[0]), "image_size_y": str(size[1]), "fov": "70"}
    camera = world.spawn("sensor.camera.instance_segmentation", lens, Transform(x=1.2, z=1.45), car.id)
    renderer = NeuralRenderer(size=size, **options)
    for _ in range(ticks):
        world.tick(1.0 / 30.0)
        image = renderer.render(frame_of(world, camera.id, "rgb"))
    cv2.imwrite(out, image[:, :, ::-1])


if __name__ == "__main__":
    main(*(sys.argv[1:2] or ["town.png"]))

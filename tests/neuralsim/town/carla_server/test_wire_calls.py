"""The complete public API of the official client: every method works or is refused by name, and none hangs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.wire_client import run_client, serving

from neuralsim.town.carla_server.process import TownServer
from neuralsim.town.world import World

ROOT = Path(__file__).resolve().parents[4]
MISSING = (ROOT / "docs" / "reference" / "carla_calls.md").read_text(encoding="utf-8").partition("## Not supported")[2]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TownServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with serving(
            TownServer(lambda town: World(town, seed=2, vehicles=1, walkers=1), "hamlet", ["hamlet"], port=0)
        ) as server:
            yield server


#: Functions that call every public name of a class and record which were refused.
ATTEMPT = """
client.set_timeout(60.0)
world = client.get_world()
synchronous(world)
library, town_map = world.get_blueprint_library(), world.get_map()
points = town_map.get_spawn_points()
V, L, T = carla.Vector3D, carla.Location, carla.Transform
refused, done = set(), set()
def names(kind):
    return {name for name in vars(kind) if not name.startswith("_")}
def attempt(instance, kind, **calls):
    assert names(kind) == set(calls), names(kind) ^ set(calls)
    for name, call in calls.items():
        try:
            call() if callable(call) else getattr(instance, name)
            done.add(name)
        except RuntimeError as error:
            function = str(error).partition("not supported by the town: ")[2]
            assert function, (name, str(error))
            refused.add(function)
    world.tick()
def first(kind, places):
    return next(filter(None, (world.try_spawn_actor(library.find(kind), place) for place in places)))
car, walker = first("vehicle.tesla.model3", points), first("walker.pedestrian.0020", points[3:])
world.tick()
"""


def run_attempts(town: TownServer, script: str) -> None:
    out = run_client(town.port, ATTEMPT + script + "\nprint('REFUSED', *sorted(refused))", timeout=90.0)
    refused = set(re.findall(r"REFUSED(.*)", out)[0].split())
    unlisted = {name for name in refused if f"`{name}`" not in MISSING}
    assert not unlisted, "refused, but not listed as such in the documentation"


def test_actors(town: TownServer) -> None:
    run_attempts(
        town,
        """
A = car
attempt(A, carla.Actor, id=0, type_id=0, parent=0, semantic_tags=0, actor_state=0, is_alive=0, is_dormant=0,
    is_active=0, attributes=0, bounding_box=0, get_world=A.get_world, get_location=A.get_location,
    get_transform=A.get_transform, get_velocity=A.get_velocity, get_angular_velocity=A.get_angular_velocity,
    get_acceleration=A.get_acceleration,
    get_component_world_transform=lambda: A.get_component_world_transform("front-light-l-1"),
    get_component_relative_transform=lambda: A.get_component_relative_transform("front-light-l-1"),
    get_bone_world_transforms=A.get_bone_world_transforms,
    get_bone_relative_transforms=A.get_bone_relative_transforms, get_component_names=A.get_component_names,
    get_bone_names=A.get_bone_names, get_socket_world_transforms=A.get_socket_world_transforms,
    get_socket_relative_transforms=A.get_socket_relative_transforms, get_socket_names=A.get_socket_names,
    set_location=lambda: A.set_location(points[0].location), set_transform=lambda: A.set_transform(points[0]),
    set_target_velocity=lambda: A.set_target_velocity(V(1, 0, 0)),
    set_target_angular_velocity=lambda: A.set_target_angular_velocity(V(0, 0, 5)),
    enable_constant_velocity=lambda: A.enable_constant_velocity(V(2, 0, 0)),
    disable_constant_velocity=A.disable_constant_velocity, add_impulse=lambda: A.add_impulse(V(900, 0, 0)),
    add_force=lambda: A.add_force(V(900, 0, 0)), add_angular_impulse=lambda: A.add_angular_impulse(V(0, 0, 9)),
    add_torque=lambda: A.add_torque(V(0, 0, 9)), set_simulate_physics=lambda: A.set_simulate_physics(True),
    set_collisions=lambda: A.set_collisions(True), set_enable_gravity=lambda: A.set_enable_gravity(True),
    destroy=lambda: first("static.prop.bench01", points[5:]).destroy())
door, wheel = carla.VehicleDoor.All, carla.VehicleWheelLocation.FL_Wheel
attempt(A, carla.Vehicle, apply_control=lambda: A.apply_control(carla.VehicleControl(throttle=1.0)),
    apply_ackermann_control=lambda: A.apply_ackermann_control(carla.VehicleAckermannControl(speed=3.0)),
    get_control=A.get_control, set_light_state=lambda: A.set_light_state(carla.VehicleLightState.All),
    open_door=lambda: A.open_door(door), close_door=lambda: A.close_door(door),
    set_wheel_steer_direction=lambda: A.set_wheel_steer_direction(wheel, 5.0),
    get_wheel_steer_angle=lambda: A.get_wheel_steer_angle(wheel),
    set_wheel_pitch_angle=lambda: A.set_wheel_pitch_angle(wheel, 5.0),
    get_wheel_pitch_angle=lambda: A.get_wheel_pitch_angle(wheel), get_light_state=A.get_light_state,
    apply_physics_control=lambda: A.apply_physics_control(A.get_physics_control()),
    get_physics_control=A.get_physics_control,
    apply_ackermann_controller_settings=lambda: A.apply_ackermann_controller_settings(
        carla.AckermannControllerSettings()),
    get_ackermann_controller_settings=A.get_ackermann_controller_settings,
    set_autopilot=lambda: A.set_autopilot(False, 8455), get_telemetry_data=A.get_telemetry_data,
    show_debug_telemetry=lambda: A.show_debug_telemetry(False), get_speed_limit=A.get_speed_limit,
    get_traffic_light_state=A.get_traffic_light_state, is_at_traffic_light=A.is_at_traffic_light,
    get_traffic_light=A.get_traffic_light, enable_carsim=lambda: A.enable_carsim("x"),
    use_carsim_road=lambda: A.use_carsim_road(True),
    enable_chrono_physics=lambda: A.enable_chrono_physics(1, 0.01, "", "", "", ""),
    restore_physx_physics=A.restore_physx_physics, get_failure_state=A.get_failure_state,
    get_vehicle_bone_world_transforms=A.get_vehicle_bone_world_transforms)
W = walker
attempt(W, carla.Walker, apply_control=lambda: W.apply_control(carla.WalkerControl(V(1, 0, 0), 1.0)),
    get_control=W.get_control, get_bones=W.get_bones, set_bones=lambda: W.set_bones(carla.WalkerBoneControlIn()),
    blend_pose=lambda: W.blend_pose(0.5), show_pose=W.show_pose, hide_pose=W.hide_pose,
    get_pose_from_animation=W.get_pose_from_animation)
assert not any(name.startswith(("apply_", "get_physics", "set_target", "add_")) for name in refused), refused
""",
    )


def test_client_and_world(town: TownServer) -> None:
    run_attempts(
        town,
        """
C, W = client, world
attempt(C, carla.Client, set_timeout=lambda: C.set_timeout(60.0), get_client_version=C.get_client_version,
    get_server_version=C.get_server_version, get_world=C.get_world, get_available_maps=C.get_available_maps,
    set_files_base_folder=0, get_required_files=lambda: C.get_required_files("Nav", False),
    request_file=0, reload_world=0, load_world=0, load_world_if_different=0, generate_opendrive_world=0,
    start_recorder=lambda: C.start_recorder("walk.log"), stop_recorder=C.stop_recorder,
    show_recorder_file_info=lambda: C.show_recorder_file_info("walk.log", True),
    show_recorder_collisions=lambda: C.show_recorder_collisions("walk.log", "a", "a"),
    show_recorder_actors_blocked=lambda: C.show_recorder_actors_blocked("walk.log", 1.0, 10.0),
    replay_file=lambda: (C.start_recorder("b.log"), world.tick(), world.tick(), C.stop_recorder(),
                         C.replay_file("b.log", 0.0, 0.0, 0)),
    stop_replayer=lambda: C.stop_replayer(False), set_replayer_time_factor=lambda: C.set_replayer_time_factor(1.0),
    set_replayer_ignore_hero=lambda: C.set_replayer_ignore_hero(False),
    set_replayer_ignore_spectator=lambda: C.set_replayer_ignore_spectator(False),
    apply_batch=lambda: C.apply_batch([]), apply_batch_sync=lambda: C.apply_batch_sync([], True),
    get_trafficmanager=0)
here, up = points[0].location, V(0, 0, -1)
signs = town_map.get_all_landmarks()
lamp = world.get_actors().filter("traffic.traffic_light")
texture, colours = "wall", carla.TextureColor(2, 2)
floats = carla.TextureFloatColor(2, 2)
kind = carla.MaterialParameter.Diffuse
waypoint = town_map.get_waypoint(here)
junction = next(w.get_junction() for w, _ in town_map.get_topology() if w.is_junction)
tick = lambda snapshot: None
attempt(W, carla.World, id=0, debug=0, load_map_layer=lambda: W.load_map_layer(carla.MapLayer.All),
    unload_map_layer=lambda: W.unload_map_layer(carla.MapLayer.Props), get_blueprint_library=W.get_blueprint_library,
    get_vehicles_light_states=W.get_vehicles_light_states, get_map=W.get_map,
    get_random_location_from_navigation=W.get_random_location_from_navigation, get_spectator=W.get_spectator,
    get_settings=W.get_settings, apply_settings=lambda: W.apply_settings(W.get_settings()), get_weather=W.get_weather,
    set_weather=lambda: W.set_weather(carla.WeatherParameters.WetSunset),
    get_imui_sensor_gravity=W.get_imui_sensor_gravity,
    set_imui_sensor_gravity=lambda: W.set_imui_sensor_gravity(9.8), get_snapshot=W.get_snapshot,
    get_actor=lambda: W.get_actor(car.id), get_actors=W.get_actors, spawn_actor=0,
    try_spawn_actor=lambda: W.try_spawn_actor(library.find("vehicle.audi.tt"), points[0]),
    wait_for_tick=0, on_tick=lambda: W.on_tick(tick), remove_on_tick=lambda: W.remove_on_tick(W.on_tick(tick)),
    tick=W.tick, set_pedestrians_cross_factor=lambda: W.set_pedestrians_cross_factor(0.1),
    set_pedestrians_seed=lambda: W.set_pedestrians_seed(1), get_traffic_sign=lambda: [
        W.get_traffic_sign(sign) for sign in signs[:3]],
    get_traffic_light=lambda: [W.get_traffic_light(sign) for sign in signs[:3]],
    get_traffic_light_from_opendrive_id=lambda: W.get_traffic_light_from_opendrive_id("1"),
    get_traffic_lights_from_waypoint=lambda: W.get_traffic_lights_from_waypoint(waypoint, 50.0),
    get_traffic_lights_in_junction=lambda: W.get_traffic_lights_in_junction(junction.id),
    reset_all_traffic_lights=W.reset_all_traffic_lights, get_lightmanager=lambda: W.get_lightmanager().get_all_lights(),
    freeze_all_traffic_lights=lambda: W.freeze_all_traffic_lights(False), get_level_bbs=W.get_level_bbs,
    get_environment_objects=W.get_environment_objects,
    enable_environment_objects=lambda: W.enable_environment_objects({1}, True),
    cast_ray=lambda: W.cast_ray(here + L(0, 0, 9), here + L(0, 0, -9)),
    project_point=lambda: W.project_point(here + L(0, 0, 9), up, 99.0),
    ground_projection=lambda: W.ground_projection(here + L(0, 0, 9), 99.0),
    get_names_of_all_objects=W.get_names_of_all_objects,
    apply_color_texture_to_object=lambda: W.apply_color_texture_to_object(texture, kind, colours),
    apply_float_color_texture_to_object=lambda: W.apply_float_color_texture_to_object(texture, kind, floats),
    apply_textures_to_object=lambda: W.apply_textures_to_object(texture, colours, floats, floats, floats),
    apply_color_texture_to_objects=lambda: W.apply_color_texture_to_objects([texture], kind, colours),
    apply_float_color_texture_to_objects=lambda: W.apply_float_color_texture_to_objects([texture], kind, floats),
    apply_textures_to_objects=lambda: W.apply_textures_to_objects([texture], colours, floats, floats, floats),
    set_annotations_traverse_translucency=lambda: W.set_annotations_traverse_translucency(False))
spot = car.get_location()
hit = W.project_point(spot + L(0, 0, 9), up, 99.0)
assert 0.4 < hit.location.z - spot.z < 2.5 and hit.label == carla.CityObjectLabel.Car, (hit.location, hit.label)
assert len(W.get_environment_objects(carla.CityObjectLabel.Buildings)) > 3
assert any(box.contains(car.get_location() + L(0, 0, 0.7), T()) for box in W.get_level_bbs(carla.CityObjectLabel.Car))
""",
    )


def test_a_traffic_lights_trigger_volume_is_on_the_lanes_that_it_controls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CARLA's agents look up a light's lane under its trigger volume; its map viewer looks for the car inside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with serving(TownServer(lambda town: World(town, seed=1), "oldtown", ["oldtown"], port=0)) as server:
        run_client(
            server.port,
            """
            client.set_timeout(60.0)
            world = client.get_world()
            town_map = world.get_map()
            lights = world.get_actors().filter("traffic.traffic_light*")
            assert len(lights) > 10
            for light in lights:
                volume = light.trigger_volume
                centre = carla.Location(light.get_transform().transform(volume.location))
                under = town_map.get_waypoint(centre)  # the nearest lane
                stopped = light.get_affected_lane_waypoints()
                assert (under.road_id, under.lane_id) in {(lane.road_id, lane.lane_id) for lane in stopped}, light.id
                assert under.transform.location.distance_2d(centre) < volume.extent.y, (light.id, centre)
                assert abs(volume.extent.x - 1.5) < 0.3 and volume.extent.y > 1.2, (light.id, volume)
                for stop in light.get_stop_waypoints():
                    assert stop.transform.location.distance_2d(centre) < volume.extent.y + 1.5, light.id
            """,
            timeout=90.0,
        )

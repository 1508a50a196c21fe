"""The sensors that can be spawned, with CARLA's attributes and defaults.

Attributes of the exposure, and of a lens that distorts, are accepted without effect: the shaded view has no optics.
"""

from typing import Literal

from neuralsim.town.core.types import Actor, Attribute, Blueprint

#: Name of the plane with the simulator image that a camera sends: none, all pixels, or every second pixel.
ColourPlane = Literal["", "rgb", "rgb_half"]

_LENS = "bloom_intensity=0.675 lens_circle_falloff=5.0 lens_circle_multiplier=0.0 lens_k=-1.0 lens_kcube=0.0 "
_LENS += "lens_x_size=0.08 lens_y_size=0.08 lens_flare_intensity=0.1"
_EXPOSURE = (
    "enable_postprocess_effects:bool=true fstop=1.4 iso=100.0 gamma=2.2 shutter_speed=200.0 min_fstop=1.2 "
    "blade_count:int=5 exposure_mode:string=histogram exposure_compensation=0.0 exposure_min_bright=10.0 "
    "exposure_max_bright=12.0 exposure_speed_up=3.0 exposure_speed_down=1.0 calibration_constant=16.0 "
    "focal_distance=1000.0 depth_blur_amount=1.0 depth_blur_radius=0.0 motion_blur_intensity=0.45 "
    "motion_blur_max_distortion=0.35 motion_blur_min_object_screen_size=0.1 slope=0.88 toe=0.55 shoulder=0.26 "
    "black_clip=0.0 white_clip=0.04 temp=6500.0 tint=0.0 chromatic_aberration_intensity=0.0 "
    "chromatic_aberration_offset=0.0"
)
#: Attributes that CARLA's sensors do not have: ``jitter`` shifts each frame by a fraction of a pixel as given by
#: ``bridge.jitter``; ``half_size`` sends every second pixel of every second row, which is cheap next to other cameras
#: of that size there; ``exact`` says that optical flow is not rounded; ``memory``, the ``host_id`` of a client on this
#: machine, puts the ``planes`` of a frame with these names, separated by commas, into memory that both see, and sends
#: where they are instead of an image.
NOT_CARLAS = ("jitter", "half_size", "exact", "memory", "planes")
_IMAGE = "image_size_x:int=800 image_size_y:int=600 fov=90.0 sensor_tick=0.0 jitter:bool=false"
_SHARED = "memory:string= planes:string="
_EVENTS = (
    "positive_threshold=0.3 negative_threshold=0.3 sigma_positive_threshold=0.0 sigma_negative_threshold=0.0 "
    "refractory_period_ns:int=0 use_log:bool=true log_eps=0.001"
)
_LIDAR = (
    "channels:int=32 range=10.0 points_per_second:int=56000 rotation_frequency=10.0 upper_fov=10.0 lower_fov=-30.0 "
    "horizontal_fov=360.0 sensor_tick=0.0"
)
_LOSSES = (
    "atmosphere_attenuation_rate=0.004 dropoff_general_rate=0.45 dropoff_intensity_limit=0.8 "
    "dropoff_zero_intensity=0.4 noise_seed:int=0 noise_stddev=0.0"
)
_GNSS = "noise_seed:int=0 sensor_tick=0.0 " + " ".join(
    f"noise_{axis}_{kind}=0.0" for axis in ("alt", "lat", "lon") for kind in ("bias", "stddev")
)
_IMU = "noise_seed:int=0 sensor_tick=0.0 " + " ".join(
    [f"noise_accel_stddev_{axis}=0.0" for axis in "xyz"]
    + [f"noise_gyro_{kind}_{axis}=0.0" for kind in ("bias", "stddev") for axis in "xyz"]
)
_RADIO = (
    "noise_seed:int=0 transmit_power=21.5 receiver_sensitivity=-99.0 frequency_ghz=5.9 combined_antenna_gain=10.0 "
    "scenario:string=highway path_loss_model:string=winner path_loss_exponent=2.7 d_ref=1.0 filter_distance=500.0 "
    "use_etsi_fading:bool=true custom_fading_stddev=0.0 sensor_tick=0.0"
)
_AWARENESS = "gen_cam_min=0.1 gen_cam_max=1.0 fixed_rate:bool=false " + " ".join(
    [f"noise_{axis}_{kind}=0.0" for axis in ("lat", "lon", "alt", "head", "yawrate") for kind in ("stddev", "bias")]
    + [f"noise_accel_stddev_{axis}=0.0" for axis in "xyz"]
    + ["noise_vel_stddev_x=0.0"]
)
#: Of cameras with a wide-angle lens (carla PR 9229, ``AddCommonWideAngleLensCameraParameters``). ``fov`` is vertical.
_WIDE_ANGLE = (
    "camera_model:string=perspective k0=0.083092 k1=0.011121 k2=0.008587 k3=0.000854 focal_length=0.0 "
    "equirectangular:bool=false fov_mask:bool=false fov_fade_size=0.0 longitude_offset=0.0 perspective:bool=false"
)
_CHOICES = {
    "exposure_mode": ("histogram", "manual"),
    "scenario": ("highway", "rural", "urban"),
    "path_loss_model": ("winner", "geometric"),
}

#: Blueprint -> its attributes: ``name[:type]=default``, float where no type is named.
SENSORS = {
    "sensor.camera.rgb": f"{_IMAGE} half_size:bool=false {_SHARED} {_LENS} {_EXPOSURE}",
    "sensor.camera.depth": f"{_IMAGE} {_LENS}",
    "sensor.camera.semantic_segmentation": f"{_IMAGE} {_LENS}",
    "sensor.camera.instance_segmentation": f"{_IMAGE} {_SHARED} {_LENS}",
    "sensor.camera.optical_flow": f"{_IMAGE} exact:bool=true {_LENS}",
    "sensor.camera.normals": f"{_IMAGE} {_LENS}",
    "sensor.camera.cosmos_visualization": f"{_IMAGE} {_LENS}",
    "sensor.camera.dvs": f"{_IMAGE} {_LENS} {_EXPOSURE} {_EVENTS}",
    "sensor.camera.rgb.wide_angle_lens": f"{_IMAGE} {_LENS} {_WIDE_ANGLE} {_EXPOSURE}",
    "sensor.camera.depth.wide_angle_lens": f"{_IMAGE} {_LENS} {_WIDE_ANGLE}",
    "sensor.camera.semantic_segmentation.wide_angle_lens": f"{_IMAGE} {_LENS} {_WIDE_ANGLE}",
    "sensor.camera.instance_segmentation.wide_angle_lens": f"{_IMAGE} {_LENS} {_WIDE_ANGLE}",
    "sensor.camera.normals.wide_angle_lens": f"{_IMAGE} {_LENS} {_WIDE_ANGLE}",
    "sensor.lidar.ray_cast": f"{_LIDAR} {_LOSSES}",
    "sensor.lidar.ray_cast_semantic": _LIDAR,
    "sensor.other.collision": "",
    "sensor.other.lane_invasion": "",
    "sensor.other.obstacle": "distance=5.0 hit_radius=0.5 only_dynamics:bool=false debug_linetrace:bool=false "
    "sensor_tick=0.0",
    "sensor.other.gnss": _GNSS,
    "sensor.other.imu": _IMU,
    "sensor.other.radar": "horizontal_fov=30.0 vertical_fov=30.0 points_per_second:int=1500 range=100.0 "
    "sensor_tick=0.0 noise_seed:int=0",
    "sensor.other.v2x": f"{_RADIO} {_AWARENESS}",
    "sensor.other.v2x_custom": _RADIO,
}


def blueprints() -> list[Blueprint]:
    """Return one blueprint for each sensor."""
    return [
        Blueprint(
            name,
            ",".join(name.split(".")),
            (Attribute("role_name", "string", "front"), *(_attribute(text) for text in attributes.split())),
        )
        for name, attributes in SENSORS.items()
    ]


def colour_plane_of(actor: Actor) -> ColourPlane:
    """Return the plane with the simulator image that an actor captures."""
    if actor.blueprint.id not in ("sensor.camera.rgb", "sensor.camera.rgb.wide_angle_lens"):
        return ""
    return "rgb_half" if actor.attributes.get("half_size") == "true" else "rgb"


def _attribute(text: str) -> Attribute:
    name, _, value = text.partition("=")
    name, _, kind = name.partition(":")
    recommended = _CHOICES.get(name) or (("true", "false") if kind == "bool" else ())
    return Attribute(name, kind or "float", value, recommended)

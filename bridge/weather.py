"""What ``carla.WeatherParameters`` mean, for everybody who draws them."""

from collections.abc import Mapping

#: A fair day: the weather of a town until another one is set, and what CARLA's ``Default`` stands for.
FAIR_WEATHER = {
    "cloudiness": 20.0, "precipitation": 0.0, "precipitation_deposits": 0.0, "wind_intensity": 10.0,
    "sun_azimuth_angle": 40.0, "sun_altitude_angle": 48.0, "fog_density": 0.0, "fog_distance": 0.75, "fog_falloff": 0.1,
    "wetness": 0.0, "scattering_intensity": 1.0, "mie_scattering_scale": 0.03, "rayleigh_scattering_scale": 0.0331,
    "dust_storm": 0.0,
}  # fmt: skip


def effective_weather(weather: Mapping[str, float]) -> Mapping[str, float]:
    """Return ``weather``, or ``FAIR_WEATHER`` for CARLA's ``Default``, whose -1 everywhere leave it to the map."""
    if weather.get("cloudiness", -1.0) < 0.0 and weather.get("sun_altitude_angle", -1.0) < 0.0:
        return FAIR_WEATHER
    return weather


def wetness(weather: Mapping[str, float]) -> float:
    """Return how wet the ground is, from 0 to 1."""
    get = weather.get
    most = max(get("wetness", 0.0), get("precipitation_deposits", 0.0), 0.8 * get("precipitation", 0.0))
    return min(max(most / 100.0, 0.0), 1.0)


def darkness(weather: Mapping[str, float]) -> float:
    """Return how dark it is, from 0 by day to 1 by night: lamps count from a sun 6 degrees above the horizon on."""
    altitude = effective_weather(weather).get("sun_altitude_angle", 45.0)
    return min(max((6.0 - altitude) / 8.0, 0.0), 1.0)


def needs_headlamps(weather: Mapping[str, float]) -> bool:
    """Return whether vehicles drive with their lamps on: at dusk, in fog, in heavy rain."""
    get = effective_weather(weather).get
    return get("sun_altitude_angle", 45.0) < 4.0 or get("fog_density", 0.0) > 35.0 or get("precipitation", 0.0) > 55.0


def needs_umbrellas(weather: Mapping[str, float]) -> bool:
    """Return whether it rains so much that people in the street open their umbrellas."""
    return effective_weather(weather).get("precipitation", 0.0) > 25.0

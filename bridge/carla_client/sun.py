"""The position of the sun at a time of day."""

from math import acos, asin, cos, degrees, radians, sin

LATITUDE = 50.0  # degrees north, as in the model's training footage
DECLINATION = 12.0  # degrees, the sun's in late April and in August


def sun_at(minutes: int) -> tuple[float, float]:
    """Return the azimuth (0 north, 90 east) and altitude in degrees, ``minutes`` after midnight, solar time.

    Solves the spherical triangle of pole, zenith and sun (Meeus, "Astronomical Algorithms", chapter 13).
    """
    hour = radians((minutes - 720) / 4.0)  # hour angle: 15 degrees per hour
    latitude, declination = radians(LATITUDE), radians(DECLINATION)
    altitude = asin(sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour))
    north = (sin(declination) - sin(altitude) * sin(latitude)) / max(cos(altitude) * cos(latitude), 1e-9)
    azimuth = degrees(acos(min(max(north, -1.0), 1.0)))
    return (360.0 - azimuth if sin(hour) > 0.0 else azimuth), degrees(altitude)

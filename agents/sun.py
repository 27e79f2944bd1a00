"""Where the sun stands and what of its light reaches a plane: published formulas on arrays, angles in degrees.

Times are seconds since 1970 (UTC), irradiances W/m², azimuths clockwise from north. Arrays keep their shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

SOLAR_CONSTANT = 1366.1
"""[W/m²] as in ASTM E490."""
_J2000 = 946_728_000
"""Noon of 1 January 2000, in seconds since 1970."""
LOWEST_COSINE = 0.065
"""Below this cosine of the zenith the clearness index is not told apart from noise."""
BEAM_ZENITH = 87.0
"""Beyond this zenith all light counts as diffuse."""


class Sun(NamedTuple):
    """Position of the sun [degrees]."""

    zenith: Floats
    azimuth: Floats


def position(seconds: ArrayLike, latitude: float, longitude: float) -> Sun:
    """Position of the sun's centre, without refraction.

    The low-precision ephemeris of the Astronomical Almanac as given by Michalsky (1988), Solar Energy 40(3): within
    0.01 degrees from 1950 to 2050.
    """
    days = (np.asarray(seconds, dtype=np.float64) - _J2000) / 86_400
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 4e-7 * days)
    ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic))
    hours = (days + 0.5) % 1 * 24
    sidereal = 6.697375 + 0.0657098242 * days + hours
    angle = np.radians(sidereal * 15 + longitude) - ascension
    north = np.radians(latitude)
    height = np.sin(declination) * np.sin(north) + np.cos(declination) * np.cos(north) * np.cos(angle)
    east = -np.cos(declination) * np.sin(angle)
    towards = np.sin(declination) * np.cos(north) - np.cos(declination) * np.sin(north) * np.cos(angle)
    return Sun(90 - np.degrees(np.arcsin(np.clip(height, -1, 1))), np.degrees(np.arctan2(east, towards)) % 360)


def above_atmosphere(seconds: ArrayLike) -> Floats:
    """Irradiance of a plane that faces the sun outside the atmosphere: the Fourier series of Spencer (1971)."""
    times = np.asarray(seconds, dtype="int64").astype("datetime64[s]")
    day = (times.astype("datetime64[D]") - times.astype("datetime64[Y]")).astype(np.float64)
    b = 2 * np.pi * day / 365
    factor = 1.00011 + 0.034221 * np.cos(b) + 0.00128 * np.sin(b) + 0.000719 * np.cos(2 * b) + 7.7e-5 * np.sin(2 * b)
    return np.asarray(SOLAR_CONSTANT * factor, dtype=np.float64)


def clear_sky(zenith: Floats) -> Floats:
    """Global horizontal irradiance without clouds, Haurwitz (1945): 1098 cos z · exp(−0.059 / cos z)."""
    cosine = np.maximum(np.cos(np.radians(zenith)), 1e-6)
    return np.where(zenith < 90, 1098 * cosine * np.exp(-0.059 / cosine), 0.0)


def through_clouds(clear: Floats, cover: Floats) -> Floats:
    """Global irradiance under a cloud cover from 0 to 1, Kasten and Czeplak (1980): G = G_clear (1 − 0.75 N^3.4)."""
    return np.asarray(clear * (1 - 0.75 * cover**3.4), dtype=np.float64)


def diffuse(total: Floats, zenith: Floats, outside: Floats) -> Floats:
    """Diffuse horizontal part of a global irradiance: the correlation of Erbs, Klein and Duffie (1982).

    `outside` is the irradiance above the atmosphere of a plane that faces the sun.
    """
    kt = np.minimum(total / (outside * np.maximum(np.cos(np.radians(zenith)), LOWEST_COSINE)), 1.0)
    middle = 0.9511 - 0.1604 * kt + 4.388 * kt**2 - 16.638 * kt**3 + 12.336 * kt**4
    share = np.where(kt <= 0.22, 1 - 0.09 * kt, np.where(kt <= 0.8, middle, 0.165))
    return np.asarray(np.where(zenith > BEAM_ZENITH, total, total * share), dtype=np.float64)


def on_plane(total: Floats, sky: Floats, sun: Sun, tilt: ArrayLike, azimuth: ArrayLike, albedo: float = 0.2) -> Floats:
    """Irradiance of planes, (n, S) for n planes and S instants; the isotropic sky of Liu and Jordan (1963).

    G = DNI · cos θ + DHI · (1 + cos β)/2 + GHI · albedo · (1 − cos β)/2 with θ the angle of incidence, β the tilt.
    """
    beta = np.radians(np.atleast_1d(tilt))[:, None]
    facing = np.radians(np.atleast_1d(azimuth))[:, None]
    zenith = np.radians(sun.zenith)
    incidence = np.cos(beta) * np.cos(zenith) + np.sin(beta) * np.sin(zenith) * np.cos(np.radians(sun.azimuth) - facing)
    cosine = np.maximum(np.cos(zenith), LOWEST_COSINE)
    beam = np.where(sun.zenith > BEAM_ZENITH, 0.0, (total - sky) / cosine)
    ground = total * albedo * (1 - np.cos(beta)) / 2
    return np.asarray(beam * np.maximum(incidence, 0) + sky * (1 + np.cos(beta)) / 2 + ground, dtype=np.float64)

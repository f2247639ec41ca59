"""Synthetic air: the true concentrations at the sites in Antwerp, and the weather."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.fill import distances_km

Floats = npt.NDArray[np.float64]

KNOT_MINUTES = 10  # the air is computed at these steps and interpolated linearly between them
KNOTS_PER_HOUR = 60 // KNOT_MINUTES
KM_PER_DEGREE = 111.2


@dataclass(frozen=True)
class Air:
    """PM2.5 at the sites and the weather of the city, a value a minute.

    Parameters
    ----------
    times : array of datetime64[s], shape (T,)
        UTC.
    pm25 : array of float32, shape (T, S)
        Concentration at each site in ug/m3, positive.
    temperature, humidity : array of float32, shape (T,)
        Air temperature in degrees Celsius and relative humidity in percent.
    """

    times: npt.NDArray[np.datetime64]
    pm25: npt.NDArray[np.float32]
    temperature: npt.NDArray[np.float32]
    humidity: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """A source of PM2.5 emissions.

    Parameters
    ----------
    latitude, longitude : float
        Degrees.
    grams_per_second : float
        Mean emission.
    half_width_km : float
        Width of the plume at the source.
    evenings_only : bool
        Whether it emits mostly in the evenings of the cold season. Default False.
    """

    latitude: float
    longitude: float
    grams_per_second: float
    half_width_km: float
    evenings_only: bool = False


SOURCES = (
    Source(51.266, 4.345, 20.0, 0.4),  # docks and refineries
    Source(51.172, 4.345, 12.0, 0.2),  # smelter
    Source(51.149, 4.393, 8.0, 0.1),  # incinerator
    Source(51.246, 4.447, 8.0, 0.5, evenings_only=True),  # wood stoves in three districts
    Source(51.215, 4.464, 8.0, 0.5, evenings_only=True),
    Source(51.190, 4.380, 6.0, 0.4, evenings_only=True),
)


def make_air(
    times: npt.NDArray[np.datetime64], sites: pd.DataFrame, rng: np.random.Generator
) -> Air:
    """Simulate the air of a period.

    The concentration at a site is the background of the city (seasonal, weekly and daily cycles
    and episodes of a few days) multiplied by correlated fluctuations over some kilometres and hours
    and by a gain of the site. Added to it are the plumes of the `SOURCES`, carried by a wind that
    turns, and the traffic of the street.

    Parameters
    ----------
    times : array of datetime64[s], shape (T,)
        UTC, a minute apart.
    sites : DataFrame, S rows
        As `antwerp_sites` gives it.
    rng : Generator
        Source of the random numbers.

    Returns
    -------
    Air
    """
    knots = np.arange(0, len(times) + KNOT_MINUTES, KNOT_MINUTES)
    local = pd.DatetimeIndex(times[0] + (knots + 60).astype("timedelta64[m]"))  # UTC + 1
    hour = (local.hour + local.minute / 60).to_numpy(np.float64)
    winter = np.cos(2 * np.pi * (local.day_of_year.to_numpy(np.float64) - 20) / 365)
    weekend = local.day_of_week.to_numpy() >= 5

    wind_km_h = _wind(rng, len(knots))
    speed = np.hypot(*wind_km_h.T)
    afternoon = np.cos(2 * np.pi * (hour - 15) / 24)
    temperature = 11 - 8 * winter + 4 * afternoon + 3 * _red_noise(rng, (len(knots),), hours=48)
    humidity = 78 + 4 * winter - 10 * afternoon + 9 * _red_noise(rng, (len(knots),), hours=20)

    exposure = road_exposure(sites)
    calm = np.sqrt(10 / speed)
    background = _background(rng, hour, winter, weekend, calm)
    gain = (1 + 0.06 * exposure) * np.exp(0.06 * rng.standard_normal(len(sites)))
    traffic = (_rush_hours(hour, weekend) * calm)[:, None] * exposure
    pm25 = background[:, None] * _patches(rng, len(knots), sites) * gain + 1.5 * traffic
    for source in SOURCES:
        pm25 += plume(rng, source, sites, wind_km_h, hour, winter)

    minutes = np.arange(len(times))
    return Air(
        times=times,
        pm25=np.stack([_interpolate(minutes, knots, site) for site in pm25.T], axis=1),
        temperature=_interpolate(minutes, knots, temperature),
        humidity=_interpolate(minutes, knots, humidity.clip(30, 100)),
    )


def road_exposure(sites: pd.DataFrame) -> Floats:
    """Return the relative exposure of each site to the traffic of its street, shape (S,).

    It grows with the traffic and decreases with the distance to the road. It is 0 where the traffic
    is unknown.
    """
    thousands = sites["traffic_per_hour"].fillna(0).to_numpy(np.float64) / 1000
    distance = sites["distance_to_road_m"].to_numpy(np.float64)
    exposure: Floats = thousands**0.7 / (1 + distance / 20)
    return exposure


def _red_noise(rng: np.random.Generator, shape: tuple[int, ...], hours: float) -> Floats:
    """Draw a stationary AR(1) process of unit variance and this decay time along the first axis."""
    keep = np.exp(-1 / (hours * KNOTS_PER_HOUR))
    noise: Floats = rng.standard_normal(shape)
    noise[1:] *= np.sqrt(1 - keep**2)
    for knot in range(1, len(noise)):
        noise[knot] += keep * noise[knot - 1]
    return noise


def _wind(rng: np.random.Generator, count: int) -> Floats:
    """Draw the wind velocity (eastward, northward) in km/h, shape (K, 2), mostly from the SW."""
    velocity: Floats = np.array([7.0, 5.0]) + 10 * _red_noise(rng, (count, 2), hours=30)
    speed = np.hypot(*velocity.T)[:, None]
    velocity *= np.maximum(speed, 3.0) / speed
    return velocity


def _background(
    rng: np.random.Generator,
    hour: Floats,
    winter: Floats,
    weekend: npt.NDArray[np.bool_],
    calm: Floats,
) -> Floats:
    """Draw the background concentration of the city in ug/m3, shape (K,)."""
    season = 1 + 0.2 * winter
    week = np.where(weekend, 0.92, 1.0)
    day = 1 + 0.15 * np.cos(4 * np.pi * (hour - 8) / 24)
    episodes = np.exp(0.6 * _red_noise(rng, hour.shape, hours=40))
    return 8.5 * season * week * day * np.sqrt(calm) * episodes


def _patches(rng: np.random.Generator, count: int, sites: pd.DataFrame) -> Floats:
    """Draw factors around 1 that are correlated between nearby sites, shape (K, S)."""
    covariance = np.exp(-distances_km(sites["latitude"], sites["longitude"]) / 4)
    np.fill_diagonal(covariance, 1.0)
    independent = _red_noise(rng, (count, len(sites)), hours=3)
    return np.exp(0.3 * independent @ np.linalg.cholesky(covariance).T)


def _rush_hours(hour: Floats, weekend: npt.NDArray[np.bool_]) -> Floats:
    """Return the traffic as an approximate multiple of its daily mean, shape (K,)."""
    rush = np.exp(-(((hour - 8) / 1.5) ** 2)) + np.exp(-(((hour - 17.5) / 2) ** 2))
    daytime = (hour > 6) & (hour < 22)
    return np.where(weekend, 0.6, 1.0) * (0.3 + 0.6 * daytime + 1.2 * rush)


def plume(
    rng: np.random.Generator,
    source: Source,
    sites: pd.DataFrame,
    wind_km_h: Floats,
    hour: Floats,
    winter: Floats,
) -> Floats:
    """Return the concentration that a source adds at each site in ug/m3, shape (K, S).

    It is a Gaussian plume at ground level along the present wind, with the spread of neutral air
    over a city. The emission is that of the time at which the air passed the source.
    """
    speed = np.hypot(*wind_km_h.T)[:, None]
    north = KM_PER_DEGREE * (sites["latitude"].to_numpy(np.float64) - source.latitude)
    east = KM_PER_DEGREE * (sites["longitude"].to_numpy(np.float64) - source.longitude)
    east *= np.cos(np.radians(source.latitude))
    along = (wind_km_h[:, :1] * east + wind_km_h[:, 1:] * north) / speed
    across = (wind_km_h[:, :1] * north - wind_km_h[:, 1:] * east) / speed

    emission = source.grams_per_second * np.exp(0.7 * _red_noise(rng, hour.shape, hours=6))
    if source.evenings_only:
        emission *= (0.6 + 0.5 * winter) * np.exp(-((((hour - 4) % 24 - 17) / 2.5) ** 2))
    knot = np.arange(len(hour))
    knots_ago = along.clip(0) / speed * KNOTS_PER_HOUR
    emitted = np.interp(knot[:, None] - knots_ago, knot, emission)

    width = source.half_width_km + 0.12 * along.clip(0)
    height = 0.03 + 0.06 * along.clip(0)
    # g/s divided by km2 * km/h is 3.6 ug/m3. The ground reflects the lower half of the plume.
    peak = 3.6 * emitted / (np.pi * width * height * speed)
    return np.where(along > 0, peak * np.exp(-0.5 * (across / width) ** 2), 0.0)


def _interpolate(
    minutes: npt.NDArray[np.int64], knots: npt.NDArray[np.int64], values: Floats
) -> npt.NDArray[np.float32]:
    return np.interp(minutes, knots, values).astype(np.float32)

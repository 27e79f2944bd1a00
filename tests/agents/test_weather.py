"""Weather: the sun against pvlib and closed forms, made series against what they promise, files as they are."""

from __future__ import annotations

import numpy as np
import pytest

from agents import sun
from agents.steps import Steps
from agents.weather import Place, Weather, read_table

DAY = 86_400
YEAR = Steps(17_167 * 96, 365 * 96, 900)
"""2017."""


def made(seed: int = 1, place: Place | None = None, steps: Steps = YEAR) -> Weather:
    return Weather(place or Place(), steps, np.random.SeedSequence(seed))


@pytest.mark.parametrize(("latitude", "longitude"), [(51.5, 9.5), (-33.9, 151.2), (2.0, -60.0)])
def test_the_sun_stands_where_pvlib_says(latitude: float, longitude: float) -> None:
    pvlib, pd = pytest.importorskip("pvlib"), pytest.importorskip("pandas")
    seconds = YEAR.seconds[::7]
    theirs = pvlib.solarposition.get_solarposition(pd.to_datetime(seconds, unit="s", utc=True), latitude, longitude)
    ours = sun.position(seconds, latitude, longitude)
    assert ours.zenith == pytest.approx(theirs["zenith"].to_numpy(), abs=0.02)
    difference = (ours.azimuth - theirs["azimuth"].to_numpy() + 180) % 360 - 180
    across = difference * np.sin(np.radians(ours.zenith))  # at the zenith the azimuth means nothing
    assert np.abs(across).max() < 0.02


@pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofyear")
def test_light_is_split_and_tilted_as_pvlib_does() -> None:
    pvlib, pd = pytest.importorskip("pvlib"), pytest.importorskip("pandas")
    weather = made()
    pick = slice(0, YEAR.count, 5)
    times = pd.to_datetime(YEAR.seconds[pick], unit="s", utc=True)
    zenith, azimuth = weather.sun.zenith[pick], weather.sun.azimuth[pick]
    clear = pvlib.clearsky.haurwitz(pd.Series(zenith))["ghi"].to_numpy()
    assert weather.clear[pick] == pytest.approx(clear, abs=1e-9)
    outside = pvlib.irradiance.get_extra_radiation(times, solar_constant=1366.1, method="spencer").to_numpy()
    assert sun.above_atmosphere(YEAR.seconds[pick]) == pytest.approx(outside, rel=1e-4)
    ghi = weather.ghi[pick]
    split = pvlib.irradiance.erbs(ghi, zenith, times)
    assert weather.dhi[pick] == pytest.approx(split["dhi"], abs=0.5)
    theirs = pvlib.irradiance.get_total_irradiance(
        30, 120, zenith, azimuth, split["dni"], ghi, split["dhi"], albedo=0.2, model="isotropic"
    )
    ours = sun.on_plane(ghi, weather.dhi[pick], weather.sun._replace(zenith=zenith, azimuth=azimuth), 30, 120)[0]
    assert ours == pytest.approx(theirs["poa_global"], abs=1.5)


def test_clouds_take_what_kasten_and_czeplak_found() -> None:
    assert sun.through_clouds(np.array([800.0, 800.0]), np.array([0.0, 1.0])).tolist() == [800.0, 200.0]


def test_a_year_of_made_weather_has_the_named_means() -> None:
    years = [made(seed) for seed in range(4)]
    assert np.mean([year.wind.mean() for year in years]) == pytest.approx(4.0, rel=0.08)
    assert np.mean([year.temperature.mean() for year in years]) == pytest.approx(9.5, abs=0.7)
    assert np.mean([year.rain.mean() * 24 for year in years]) == pytest.approx(2.0, rel=0.2)
    assert np.mean([year.inflow.mean() for year in years]) == pytest.approx(1.0, rel=0.1)
    assert 900 < np.mean([year.ghi.sum() / 12_000 for year in years]) < 1300  # kWh/m², Germany


def test_wind_is_weibull_of_shape_two_and_remembers() -> None:
    speed = np.concatenate([made(seed).wind for seed in range(8)])
    scale = 4.0 / 0.886227
    for quantile in (0.25, 0.5, 0.75, 0.95):
        assert np.quantile(speed, quantile) == pytest.approx(scale * np.sqrt(-np.log(1 - quantile)), rel=0.06)
    hour = np.corrcoef(speed[:-12], speed[12:])[0, 1]
    assert 0.8 < hour < 0.99


def test_weather_depends_on_seed_and_day_alone() -> None:
    quarters, hours = made(steps=Steps(100 * 96, 96, 900)), made(steps=Steps(100 * 24, 24, 3600))
    for name in ("ghi", "dhi", "temperature", "wind", "rain", "inflow"):
        assert np.array_equal(getattr(quarters, name), getattr(hours, name))
    assert not np.array_equal(quarters.wind, made(2, steps=Steps(100 * 96, 96, 900)).wind)


def test_slots_of_any_length_hold_the_energy_of_the_steps() -> None:
    power = np.random.default_rng(0).uniform(0, 1, (2, 288))
    for seconds in (60, 450, 900, 3600):
        mean = Steps(100 * DAY // seconds, DAY // seconds, seconds).to_slots(power)
        assert mean.mean(axis=1) == pytest.approx(power.mean(axis=1))
    middle = Steps(100 * 24 + 5, 1, 3600).to_slots(power)
    assert middle[:, 0] == pytest.approx(power[:, 60:72].mean(axis=1))


def test_a_file_gives_its_columns_and_the_rest_is_made() -> None:
    steps = Steps(17_167 * 96, 96, 900)
    lines = "\n".join(f"2017-01-01T{hour:02d}:00Z,{hour},{-hour}" for hour in range(24))
    table = read_table("time,wind,temperature\n" + lines, steps)
    weather = Weather(Place(), steps, np.random.SeedSequence(1), table)
    assert weather.wind[:13].tolist() == [0.0] * 12 + [1.0]
    assert weather.temperature[-1] == -23
    assert weather.ghi.max() > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wind\n3", "needs a column time"),
        ("time,gusts\n2017-01-01T00:00Z,3", "needs a column time"),
        ("time,wind\n2017-01-01T06:00Z,3\n2017-01-01T00:00Z,3", "must rise"),
        ("time,wind\n2017-01-01T00:00Z,3\n2017-01-01T01:00Z,3", "must cover"),
        ("time,wind\n2017-01-01T00:00Z,-3\n2017-01-02T00:00Z,3", "finite numbers from 0"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(text, Steps(17_167 * 96, 96, 900))

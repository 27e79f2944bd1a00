"""Profiles: what a window holds, and what is said about a file that is wrong."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agents.profiles import SHIPPED, Profile, ProfileError, ProfileSet, Recording, write_npz
from market.slots import MINUTE, parse_time

HOUR = 60 * MINUTE
START = parse_time("2016-06-21T10:00:00Z")
KINDS = ["household", "commercial", "agricultural", "industrial", "heat_pump", "ev", "pv", "wind", "biomass", "hydro"]


@pytest.fixture(scope="module")
def shipped() -> ProfileSet:
    return ProfileSet.shipped()


def recording(values: np.ndarray[tuple[int], np.dtype[np.float64]], step_ns: int = 15 * MINUTE) -> ProfileSet:
    return ProfileSet(Recording((Profile("p", "user", "kW", 1.0, 1.0),), START, step_ns, values[None], "test"))


def faults(path: Path) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        ProfileSet.read(path)
    return [line.replace(f"{path}: ", "") for line in caught.value.errors]


def csv(folder: Path, *lines: str) -> Path:
    path = folder / "kw.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_shipped_year_has_profiles_of_every_kind_for_the_year_2016_of_germany(shipped: ProfileSet) -> None:
    assert {shipped.profile(name).kind for name in shipped.names} == set(KINDS)
    (only,) = shipped.recordings
    assert only.start_ns == parse_time("2015-12-31T23:00:00Z")
    assert only.end_ns == parse_time("2016-12-31T23:00:00Z")
    assert only.values.shape == (78, 35_136)


def test_a_shipped_profile_peaks_at_one_and_its_energy_is_that_of_the_year(shipped: ProfileSet) -> None:
    (only,) = shipped.recordings
    for name in shipped.names:
        year = shipped.window(name, only.start_ns, 35_136, 15 * MINUTE)
        assert (year.max(), year.min() >= 0) == (1.0, True)
        assert shipped.full_load_hours(name) == pytest.approx(year.sum() / 4, rel=1e-12)
        assert shipped.peak(name) == 1.0


def test_the_sun_rises_by_local_time_before_and_after_the_change_of_the_clock(shipped: ProfileSet) -> None:
    def noon(day: str) -> float:
        hours = shipped.window("PV3", parse_time(f"{day}T00:00:00Z"), 24 * 7, HOUR).reshape(7, 24).mean(axis=0)
        return float(hours @ np.arange(24) / hours.sum())

    assert noon("2016-03-20") == pytest.approx(noon("2016-03-28"), abs=0.5)
    assert 10 < noon("2016-06-20") < 12


@pytest.mark.parametrize("slot", [5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 7 * MINUTE])
@given(values=hnp.arrays(np.float64, 28, elements=st.floats(0, 1e3)))
def test_resampling_keeps_the_energy(slot: int, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    window = recording(values).window("p", START, 28 * 15 * MINUTE // slot, slot)
    assert window.sum() * slot == pytest.approx(values.sum() * 15 * MINUTE, rel=1e-9)
    assert window.min() >= values.min() - 1e-9
    assert window.max() <= values.max() + 1e-9


def test_a_slot_has_the_mean_of_its_steps_and_part_of_a_step_has_its_value() -> None:
    profiles = recording(np.array([1.0, 3.0, 5.0, 7.0]))
    assert profiles.window("p", START, 2, 30 * MINUTE).tolist() == [2.0, 6.0]
    assert profiles.window("p", START + 15 * MINUTE, 3, 15 * MINUTE).tolist() == [3.0, 5.0, 7.0]
    assert profiles.window("p", START + 15 * MINUTE, 4, 5 * MINUTE).tolist() == [3.0, 3.0, 3.0, 5.0]
    assert profiles.window("p", START + 10 * MINUTE, 2, 10 * MINUTE).tolist() == [2.0, 3.0]
    assert profiles.window("p", START + 5 * MINUTE, 1, 5 * MINUTE).tolist() == [1.0]


def test_slots_of_the_market_count_from_1970() -> None:
    profiles = recording(np.array([1.0, 3.0]))
    assert profiles.values("p", START // (15 * MINUTE) + 1, 1, 900).tolist() == [3.0]


@pytest.mark.parametrize(("start", "slots"), [(START - MINUTE, 1), (START, 3), (START + HOUR, 1)])
def test_a_time_that_is_not_covered_is_refused_with_the_time_that_is(start: int, slots: int) -> None:
    covered = "profile 'p' covers 2016-06-21T10:00:00Z to 2016-06-21T10:30:00Z, asked for"
    with pytest.raises(ProfileError, match=covered):
        recording(np.ones(2)).window("p", start, slots, 15 * MINUTE)


def test_an_unknown_profile_and_an_empty_window_are_refused() -> None:
    with pytest.raises(ProfileError, match="there is no profile 'q'; known are p"):
        recording(np.ones(2)).window("q", START, 1, HOUR)
    with pytest.raises(ProfileError, match="a window needs slots of some length"):
        recording(np.ones(2)).window("p", START, 0, HOUR)


def test_a_csv_is_read_with_its_offsets_and_columns_in_any_order(tmp_path: Path) -> None:
    lines = ("shop,Timestamp,house", "1.5,2016-06-21T12:00:00+02:00,0", "2.5,2016-06-21 10:30:00Z,4e-1")
    profiles = ProfileSet.read(csv(tmp_path, *lines))
    assert profiles.names == ("shop", "house")
    assert profiles.window("shop", START, 1, HOUR).tolist() == [2.0]
    shop = profiles.profile("shop")
    assert (shop.unit, shop.original_peak, shop.energy_kwh, profiles.peak("shop")) == ("kW", 2.5, 2.0, 2.5)


def test_of_two_files_with_one_name_the_later_counts(tmp_path: Path, shipped: ProfileSet) -> None:
    path = csv(tmp_path, "timestamp,H0-A", "2016-06-21T10:00Z,7", "2016-06-21T10:15Z,7")
    profiles = ProfileSet(*shipped.recordings, *ProfileSet.read(path).recordings)
    assert profiles.window("H0-A", START, 1, HOUR // 2).tolist() == [7.0]
    assert ProfileSet.read(path, SHIPPED).profile("H0-A").unit == "peak"


GAP = (
    "line 6: timestamp 2016-06-21T11:00:00Z is 1800 s after the row above, others 900 s;"
    " fill the gap or write equal steps"
)
CSV_CASES: list[tuple[list[str], list[str]]] = [
    ([], ["is empty; the first line must be: timestamp,kW"]),
    (["time,kW"], ["line 1: must have one column 'timestamp', got time, kW"]),
    (["timestamp"], ["line 1: must have a column of kW beside 'timestamp'"]),
    (["timestamp,a,a"], ["line 1: column 'a' stands 2 times; every column needs a name of its own"]),
    (["timestamp,a", "2016-06-21T10:00Z,1"], ["needs at least two rows to know the length of a step, got 1"]),
    (
        ["timestamp,a", "2016-06-21T10:00Z,nan", "2016-06-21T10:15Z,", "2016-06-21T10:30Z,-1", "2016-06-21T10:45Z,inf"],
        [
            "line 2: a: is missing or NaN; fill it",
            "line 3: a: is missing or NaN; fill it",
            "line 4: a: must be >= 0 kW, got -1.0",
            "line 5: a: must be finite, got inf",
        ],
    ),
    (
        ["timestamp,a", "2016-06-21T10:00,1", "21.06.2016 10:15,1", '2016-06-21T10:30Z,"1,5"', "2016-06-21T10:45Z,x"],
        [
            "line 2: timestamp '2016-06-21T10:00' has no offset; write Z for UTC or an offset such as +02:00",
            "line 3: timestamp '21.06.2016 10:15' is not ISO 8601; write it like 2016-06-21T12:00:00Z",
            "line 4: a: '1,5' is not a number; write the decimal point as '.'",
            "line 5: a: 'x' is not a number; write kW as a number",
        ],
    ),
    (
        ["timestamp,a"] + [f"2016-06-21T{time}Z,1" for time in ("10:00", "10:15", "10:15", "10:30", "11:00", "10:45")],
        [
            "line 4: timestamp 2016-06-21T10:15:00Z stands twice; keep one row",
            GAP,
            "line 7: timestamp 2016-06-21T10:45:00Z is before the row above; sort the rows by time",
        ],
    ),
    (
        ["timestamp,a,b", "2016-06-21T10:00Z,1,2", "2016-06-21T10:15Z,1,2", "2016-06-2"],
        ["line 4: has 1 fields, the first line has 3; is the file cut short?"],
    ),
    (
        ["timestamp,a", "1969-12-31T23:00Z,1", "2016-06-21T10:00Z,1", "2016-06-21T11:00Z,1"],
        ["line 2: timestamp is -3600 s from 1970, outside 1970 to 2199; check its unit"],
    ),
    (["timestamp,a", "2016-06-21T10:15Z,1", "2016-06-21T10:00Z,1"], ["timestamps never rise; sort the rows by time"]),
]


@pytest.mark.parametrize(("lines", "expected"), CSV_CASES, ids=range(len(CSV_CASES)))
def test_every_fault_of_a_csv_is_named_with_its_line(tmp_path: Path, lines: list[str], expected: list[str]) -> None:
    path = csv(tmp_path, *lines)
    if not lines:
        path.write_text("", encoding="utf-8")
    assert faults(path) == expected


def test_values_too_large_for_any_feeder_are_refused(tmp_path: Path) -> None:
    path = csv(tmp_path, "timestamp,a", "2016-06-21T10:00Z,1e8", "2016-06-21T10:15Z,1.1e8")
    assert faults(path) == ["line 3: a: must be at most 1e+08 kW, got 110000000.0; check its unit"]


def test_negative_values_are_read_where_they_are_allowed(tmp_path: Path) -> None:
    path = csv(tmp_path, "timestamp,a", "2016-06-21T10:00Z,-1", "2016-06-21T10:15Z,2")
    assert ProfileSet.read(path, signed=True).window("a", START, 1, HOUR // 2).tolist() == [0.5]


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.csv") == ["there is no such file; check the path"]
    assert faults(tmp_path / "none.parquet") == ["there is no such file; check the path"]
    (tmp_path / "folder.csv").mkdir()
    assert faults(tmp_path / "folder.csv") == ["is a folder; give a file"]
    assert faults(tmp_path / "kw.xlsx") == ["must end in .csv, .parquet or .npz, got '.xlsx'"]
    path = tmp_path / "kw.csv"
    path.write_bytes(b"timestamp,a\n\xff\xfe")
    assert faults(path)[0].startswith("cannot be read as UTF-8 CSV")


def test_many_faults_are_all_kept_but_shown_in_short(tmp_path: Path) -> None:
    path = csv(tmp_path, "timestamp,a", *(f"2016-06-21T10:{minute}Z,-1" for minute in range(10, 60)))
    with pytest.raises(ProfileError, match="… and 30 more") as caught:
        ProfileSet.read(path)
    assert len(caught.value.errors) == 50


@pytest.mark.parametrize("text", [False, True])
def test_parquet_gives_what_csv_gives(tmp_path: Path, text: bool) -> None:
    times = pd.date_range("2016-06-21 12:00", periods=3, freq="15min", tz="Europe/Berlin")
    frame = pd.DataFrame({"timestamp": [str(time) for time in times] if text else times, "a": [1, 2, 3]})
    path = tmp_path / "kw.parquet"
    frame.to_parquet(path)
    assert ProfileSet.read(path).window("a", START, 3, 15 * MINUTE).tolist() == [1.0, 2.0, 3.0]


def test_every_fault_of_a_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kw.parquet"
    times = pd.date_range("2016-06-21 12:00", periods=2, freq="15min")
    pd.DataFrame({"timestamp": times, "a": ["x", "y"]}).to_parquet(path)
    assert [line.split(",")[0] for line in faults(path)] == [
        "column 'a': must hold numbers",
        "column 'timestamp': must be a timestamp with a time zone or ISO 8601 text",
    ]
    pd.DataFrame({"timestamp": [times[0].tz_localize("UTC"), pd.NaT], "a": [1.0, None]}).to_parquet(path)
    assert faults(path) == [
        "row 1: timestamp is missing; give every row its time",
        "row 1: a: is missing or NaN; fill it",
    ]
    path.write_bytes(path.read_bytes()[:-20])
    assert faults(path)[0].startswith("cannot be read as Parquet")


def test_written_profiles_are_read_within_half_a_step_and_the_same_again(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((3, 100)) * [[0.5], [1.0], [20.0]]
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    for path in (first, second):
        write_npz(path, ["x", "y", "z"], ["pv"] * 3, START, HOUR, values, "whose")
    assert first.read_bytes() == second.read_bytes()
    profiles = ProfileSet.read(first)
    for name, row in zip("xyz", values, strict=True):
        read = profiles.window(name, START, 100, HOUR) * profiles.profile(name).original_peak
        assert np.abs(read - row).max() <= row.max() / 65534 * (1 + 1e-9)


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 64]) + data[middle + 64 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": _cut,
    "flipped": _flip,
    "empty": lambda _: b"",
    "no npz": lambda _: b"\x93NUMPY",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_npz_is_named_and_what_to_do(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(damage(SHIPPED.read_bytes()))
    (fault,) = faults(path)
    assert fault.startswith("cut short, damaged or no profile file")
    assert fault.endswith("copy it again; `python scenarios/build_data.py` rebuilds a shipped file")


def test_an_npz_without_its_arrays_or_with_arrays_that_do_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    assert faults(path)[0].startswith("there is no such file")
    np.savez(path, names=np.array(["a"]))
    assert faults(path)[0].startswith("cut short, damaged or no profile file (KeyError")
    ones = np.ones(1)
    two = np.ones((2, 4), dtype=np.int16)
    name, kind, at, hour = np.array(["a"]), np.array(["pv"]), np.int64(START), np.int64(HOUR)
    np.savez(path, names=name, kinds=kind, start_ns=at, step_ns=hour, peak=ones, kwh_per_kw=ones, values=two)
    assert faults(path)[0].startswith("its arrays do not fit each other")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values.npy", b"no array")
    assert faults(path)[0].startswith("cut short, damaged or no profile file")

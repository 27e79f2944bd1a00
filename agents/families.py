"""Families of profiles, by name: H0 has H0-A and H0-L, G has G1-B, PV has PV1, HLS has HLS_A_3.7."""

from __future__ import annotations


def in_family(profile: str, family: str) -> bool:
    """Whether `profile` is `family` itself or a member: the name goes on after - or _, or letters end and digits begin.

    So PV1 is in PV, but HS10 is not in HS1.
    """
    if not profile.startswith(family) or not family:
        return False
    rest = profile[len(family) :]
    return not rest or rest[0] in "-_" or (family[-1].isalpha() and rest[0].isdigit())

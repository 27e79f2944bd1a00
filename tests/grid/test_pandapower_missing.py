"""What is said where the extra `import` is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from grid.feeder import FeederError
from grid.pandapower_import import from_pandapower_json, from_simbench


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simbench", None)
    monkeypatch.setitem(sys.modules, "pandapower", None)
    with pytest.raises(FeederError, match=r"needs the package simbench; run: pip install 'wattbook\[import\]'"):
        from_simbench("1-LV-rural2--0-sw")
    with pytest.raises(FeederError, match=r"net.json needs the package pandapower; run: pip install"):
        from_pandapower_json(Path("net.json"))

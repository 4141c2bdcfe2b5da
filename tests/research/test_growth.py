"""The growth of cost: the fit recovers a known power law, and the command runs."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jitkit.discovery import create_plugin_manager
from jitkit.manifest.reader import read_manifest
from jitkit.zoo.index import find_manifest
from research.growth.__main__ import main, overrides
from research.growth.power_law import fit


def test_the_fit_recovers_a_power_law() -> None:
    rows = {
        "width": [(factor, 3 * factor**1.7) for factor in (0.5, 1, 2)],
        "depth": [(factor, 3 * factor) for factor in (1, 4)],
    }
    law = fit(rows)
    assert law.unit == pytest.approx(3)
    assert law.exponents == pytest.approx({"width": 1.7, "depth": 1})
    assert law.at({"width": 2, "depth": 3}) == pytest.approx(3 * 2**1.7 * 3)


@pytest.mark.parametrize("size", ["width", "depth", "image side", "batch"])
def test_an_override_changes_one_size(size: str) -> None:
    manifest = read_manifest(find_manifest("jit-nano", create_plugin_manager()))
    doubled = dict(setting.split("=") for setting in overrides(manifest, size, 2))  # type: ignore[arg-type]
    once = dict(setting.split("=") for setting in overrides(manifest, size, 1))  # type: ignore[arg-type]
    assert {key: int(value) for key, value in doubled.items()} == {key: 2 * int(value) for key, value in once.items()}
    assert ("backbone.num_heads" in once) == (size == "width")


@pytest.mark.slow
def test_the_command_measures_every_size_and_writes_a_chart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--fast", "--json", "--device", "cpu", "--plot", str(tmp_path / "growth.svg")])
    document = json.loads(capsys.readouterr().out)
    assert {size: [row["factor"] for row in rows] for size, rows in document["rows"].items()} == {
        size: [1, 2] for size in ("width", "depth", "image side", "batch")
    }
    for rows in document["rows"].values():
        assert all(row["step_seconds"] > 0 for row in rows)
    assert set(document["laws"]) == {"step_seconds", "bytes"}
    ElementTree.parse(tmp_path / "growth.svg")

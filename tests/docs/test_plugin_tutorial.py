"""The plugin of docs/plugins.md, as a third party has it: in a fresh environment, through its entry point."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from jitkit.testing import parametrize_conformance
from tests.docs.pages import ROOT
from tests.new_environment import new_environment, run

FOLDER = ROOT / "docs" / "plugins" / "jitkit-walsh"
sys.path.insert(0, str(FOLDER))
from jitkit_walsh import WalshCodec  # noqa: E402

TINY = ("backbone.depth=1", "backbone.embed_dim=32", "backbone.num_heads=2", "train.batch_size=4", "train.max_steps=3")
TINY += ("train.warmup_steps=1", "train.validation_windows=4", 'codec={use="walsh"}')


@parametrize_conformance("codec", WalshCodec(), WalshCodec(length=32))
def test_the_codec_conforms(conformance_test):
    conformance_test()


@pytest.mark.parametrize("length", [4, 8, 16, 32])
def test_two_waves_differ_in_half_of_their_places_or_in_all(length) -> None:
    words = WalshCodec(length=length).codebook(2 * length).int()
    places = (words[:, None] != words).sum(-1)
    assert set(places[~places.eq(0)].tolist()) == {length // 2, length}
    assert places.eq(0).sum() == len(words)


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> Path:
    """A new environment with jitkit and the plugin."""
    return new_environment(tmp_path_factory.mktemp("environment"), ROOT, FOLDER)


@pytest.mark.slow
def test_it_is_installed_found_checked_and_trained_with(environment, tmp_path) -> None:
    jitkit = str(environment / "jitkit")

    listed = json.loads(run(jitkit, "plugins", "list", "--json", cwd=tmp_path).stdout)
    assert not listed["failures"]
    [plugin] = [plugin for plugin in listed["plugins"] if plugin["distribution"] == "jitkit-walsh"]
    assert plugin["hooks"] == ["jitkit_codecs"]

    laws = json.loads(run(jitkit, "plugins", "check", "walsh", "--json", cwd=tmp_path).stdout)["laws"]
    assert {law["component"] for law in laws} == {"walsh"}
    assert not [law for law in laws if law["broken"]]

    overrides = [word for override in TINY for word in ("--set", override)]
    trained = run(jitkit, "train", "jit-nano", "--out", "run", *overrides, "--json", cwd=tmp_path)
    assert json.loads(trained.stdout)["step"] == 3
    assert (tmp_path / "run" / "best_model.pth").exists()


@pytest.mark.slow
def test_the_wheel_brings_the_zoo(environment, tmp_path) -> None:
    place = run(str(environment / "python"), "-c", "import jitkit; print(jitkit.__file__)", cwd=tmp_path).stdout
    assert Path(place).is_relative_to(environment.parent)
    models = json.loads(run(str(environment / "jitkit"), "zoo", "list", "--json", cwd=tmp_path).stdout)["models"]
    assert {path.stem for path in (ROOT / "zoo").glob("*.toml")} == {model["id"] for model in models}

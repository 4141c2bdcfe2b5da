"""docs/plugins.md in a new environment, from nothing to a codec that trains. The example is what the page makes."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from jitkit.kinds import KIND_OF_WORD
from jitkit.scaffold.names import PluginNames
from jitkit.scaffold.package import PROJECT, package_files
from tests.docs.conftest import Reader
from tests.docs.pages import ROOT
from tests.docs.test_code_blocks import PLUGINS, follow_page
from tests.new_environment import new_environment, run

EXAMPLE = ROOT / "examples" / "jitkit-walsh"
PIP = """#!/bin/sh
command=$1
shift
exec {python} -m pip --python {home}/bin/python "$command" --quiet --no-deps --no-build-isolation "$@"
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    """The programs of a new environment with jitkit, and with a pip that downloads nothing."""
    home = tmp_path_factory.mktemp("environment")
    programs = new_environment(home, ROOT)
    pip = programs / "pip"
    pip.write_text(PIP.format(python=sys.executable, home=home))
    pip.chmod(0o755)
    return programs


@pytest.mark.slow
def test_the_page_leads_from_nothing_to_a_codec_that_trains(programs, tmp_path, monkeypatch) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in {"JITKIT_PLUGINS", "PYTHONPATH"}}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    reader = Reader(tmp_path, clean | {"PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "PYTHONWARNINGS": "default"})
    follow_page(PLUGINS, reader, monkeypatch)
    assert (tmp_path / "run" / "walsh" / "best_model.pth").exists()

    listed = json.loads(run(str(programs / "jitkit"), "plugins", "list", "--json", cwd=tmp_path).stdout)
    assert not listed["failures"]
    [plugin] = [plugin for plugin in listed["plugins"] if plugin["distribution"] == "jitkit-walsh"]
    assert plugin["hooks"] == ["jitkit_codecs"]
    run(str(programs / "python"), "-m", "pytest", "-p", "no:cacheprovider", str(EXAMPLE), cwd=tmp_path)


def test_the_example_is_what_the_command_creates_with_another_codec() -> None:
    created = package_files(PluginNames(KIND_OF_WORD["codec"], "walsh"))
    found = {path: (EXAMPLE / path).read_text() for path in created if (EXAMPLE / path).exists()}
    changed = {path for path in created if unversioned(created[path]) != unversioned(found.get(path, ""))}
    assert changed == {"jitkit_walsh/codec.py", "tests/test_codec.py"}
    assert found[PROJECT].count("jitkit>=") == 1


def unversioned(text: str) -> str:
    """Return a text that is the same for all versions of jitkit."""
    return re.sub(r"jitkit>=[\w.]+", "jitkit", text)


@pytest.mark.slow
def test_the_wheel_brings_the_zoo(programs, tmp_path) -> None:
    place = run(str(programs / "python"), "-c", "import jitkit; print(jitkit.__file__)", cwd=tmp_path).stdout
    assert Path(place).is_relative_to(programs.parent)
    models = json.loads(run(str(programs / "jitkit"), "zoo", "list", "--json", cwd=tmp_path).stdout)["models"]
    assert {path.stem for path in (ROOT / "zoo").glob("*.toml")} == {model["id"] for model in models}

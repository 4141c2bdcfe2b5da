"""Describing components without importing them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from jitkit.discovery import Registry, create_plugin_manager
from jitkit.discovery.descriptions import FILE, describe, index_of
from jitkit.kinds import KINDS

PLUGIN = """
import jitkit
from codec_pack.{module} import {name}

@jitkit.hookimpl
def jitkit_codecs():
    return [{name}]
"""
CODEC = '''
import jitkit

class {name}(jitkit.Component):
    """The codec {name}.

    More about it.
    """

    name = "{name}"
    size: int = 3
'''


@pytest.mark.parametrize("table", [kind.table for kind in KINDS])
def test_the_built_in_components_are_described_as_their_classes_are(table: str) -> None:
    registry = Registry(create_plugin_manager())
    found = {one.name: one for one in describe(registry, table)}
    catalog = registry.catalog(table)
    assert list(found) == catalog.names()
    for name, one in found.items():
        component = registry.component(table, name)
        assert one.summary == component.summary()
        assert list(one.properties) == [field.alias or key for key, field in component.model_fields.items()]
        assert one.plugin == catalog.plugin_of(name)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin package with one codec, on the path."""
    folder = tmp_path / "codec_pack"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name in ("One", "Two"):
        (folder / f"{name.lower()}.py").write_text(CODEC.format(name=name))
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def load(package: Path, name: str) -> object:
    """Return the plugin module, whose hook returns the codec `name`."""
    for module in [module for module in sys.modules if module.startswith("codec_pack")]:
        del sys.modules[module]
    (package / f"plugin_{name}.py").write_text(PLUGIN.format(module=name.lower(), name=name))
    importlib.invalidate_caches()
    return importlib.import_module(f"codec_pack.plugin_{name}")


def described(plugin: object) -> list[tuple[str, str]]:
    manager = create_plugin_manager([plugin], autoload=False)
    return [(one.name, one.summary) for one in describe(Registry(manager), "codec")]


def test_a_plugin_without_an_index_is_imported(package: Path) -> None:
    assert described(load(package, "One")) == [("One", "The codec One.")]


def test_an_index_is_used_while_the_hook_names_the_same_classes(package: Path) -> None:
    plugin = load(package, "One")
    index = json.loads(index_of(create_plugin_manager([plugin], autoload=False), package))
    index["jitkit_codecs"]["components"]["One"]["description"] = "From the index."
    (package / FILE).write_text(json.dumps(index))
    assert described(plugin) == [("One", "From the index.")]
    assert described(load(package, "Two")) == [("Two", "The codec Two.")]


def test_a_damaged_index_is_not_used(package: Path) -> None:
    (package / FILE).write_text("[1, 2")
    assert described(load(package, "One")) == [("One", "The codec One.")]

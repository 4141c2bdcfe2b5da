"""Recipes: a manifest or zoo id, overrides, and text from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from jitkit import Component, hookimpl
from jitkit.data.split import SplitDocuments
from jitkit.discovery import create_plugin_manager
from jitkit.errors import InputError, ManifestError, PluginError
from jitkit.files import Files
from jitkit.recipe import open_recipe, prepared_text
from tests.tiny import TINY

TEXT = "It was a bright cold day in April. "


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT * 200)
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_a_path_and_a_zoo_id_open_a_recipe(manifest: Path) -> None:
    assert open_recipe(manifest, overrides=["train.lr=3e-3"]).manifest.train.lr == 3e-3
    assert open_recipe("jit-nano").manifest.id == "jit-nano"
    with pytest.raises(ManifestError, match=r"Did you mean jit-nano\?"):
        open_recipe("jit-nanno")


def test_text_from_the_command_line_replaces_the_data(manifest: Path, tmp_path: Path) -> None:
    data = open_recipe(manifest, data=tmp_path / "text.txt", overrides=["data.validation_fraction=0.3"]).manifest.data
    assert data.use == "text"
    assert data.options == {"path": str(tmp_path / "text.txt"), "validation_fraction": 0.05}


def test_options_of_data_that_reads_files_stay(manifest: Path, tmp_path: Path) -> None:
    overrides = ['data={use="text", path="elsewhere", validation_fraction=0.3}']
    data = open_recipe(manifest, data=tmp_path / "text.txt", overrides=overrides).manifest.data
    assert data.options == {"path": str(tmp_path / "text.txt"), "validation_fraction": 0.3}


class Lines(Component):
    """A data source of a plugin that reads files."""

    name: ClassVar[str] = "lines"
    reads_paths: ClassVar[bool] = True

    path: str
    comment: str = "#"

    def build(self, files: Files) -> SplitDocuments:
        return SplitDocuments(
            lambda: iter([files.path(self.path, field="data.path").read_text()]), 0.1, origin=self.path
        )


class Plugin:
    @hookimpl
    def jitkit_data_sources(self) -> list[type[Component]]:
        return [Lines]


def test_a_plugin_that_reads_files_keeps_reading_them(manifest: Path, tmp_path: Path) -> None:
    manager = create_plugin_manager([Plugin()])
    overrides = ['data={use="lines", path="elsewhere", comment=";"}']
    data = open_recipe(manifest, data=tmp_path / "text.txt", overrides=overrides, manager=manager).manifest.data
    assert (data.use, data.options) == ("lines", {"path": str(tmp_path / "text.txt"), "comment": ";"})


def test_without_a_data_source_that_reads_files_data_is_refused(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="--data: found no data source that reads files"):
        open_recipe(manifest, data=tmp_path / "text.txt", manager=create_plugin_manager(autoload=False))


def test_prepared_text_is_cut_into_windows_of_one_image(manifest: Path, tmp_path: Path) -> None:
    components = open_recipe(manifest, data=tmp_path / "text.txt")
    tokenizer = components.tokenizer.build(components.files)
    text = prepared_text(components, tokenizer, 16)
    assert tokenizer.decode(text.train.tokens([0])[0].tolist()) == TEXT[:16]
    assert text.train.length == text.validation.length == 16
    assert prepared_text(components, tokenizer, 16).data.reused


def test_text_that_fills_no_window_is_refused_when_its_windows_are_needed(manifest: Path, tmp_path: Path) -> None:
    components = open_recipe(manifest, data=tmp_path / "text.txt")
    text = prepared_text(components, components.tokenizer.build(components.files), 1000)
    assert text.train.per_epoch
    with pytest.raises(InputError, match="validation text"):
        _ = text.validation

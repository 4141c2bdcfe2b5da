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
    data = open_recipe(manifest, data=tmp_path / "text.txt").manifest.data
    assert data.use == "text"
    assert data.options == {
        "path": str(tmp_path / "text.txt"),
        "validation_fraction": 0.05,
        "split": "size",
        "encoding": "utf-8",
    }


def test_overrides_of_data_stay_beside_text_from_the_command_line(manifest: Path, tmp_path: Path) -> None:
    text, overrides = tmp_path / "text.txt", ["data.validation_fraction=0.3"]
    data = open_recipe(manifest, data=text, overrides=overrides).manifest.data
    assert data.options == {"path": str(text), "validation_fraction": 0.3, "split": "size", "encoding": "utf-8"}
    with pytest.raises(ManifestError, match=r"--set: data\.bogus: found an unknown key; expected one of use, path"):
        open_recipe(manifest, data=text, overrides=["data.bogus=1"])
    with pytest.raises(ManifestError, match=r"--set: data\.validation_fraction: found 0\.7"):
        open_recipe("jit-nano", data=text, overrides=["data.validation_fraction=0.7"])


@pytest.mark.parametrize("override", ["data.use=text8", "data={use='python-docs'}", "data.path=other.txt"])
def test_two_texts_from_the_command_line_are_refused(manifest: Path, tmp_path: Path, override: str) -> None:
    with pytest.raises(ManifestError, match=r"^--set: data\.(use|path): found .* and --data"):
        open_recipe(manifest, data=tmp_path / "text.txt", overrides=[override])


def test_paths_in_overrides_are_relative_to_the_working_folder(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in ("../text.txt", str(tmp_path / "text.txt"), "../t*.txt"):
        components = open_recipe("jit-nano", overrides=["data.use=text", f"data.path={path}"])
        assert next(components.data.build(components.files).documents("train")).startswith(TEXT)
        assert components.manifest.data.options["path"] == path
    in_a_file = open_recipe(manifest, overrides=["data={use='text', path='text.txt'}"], from_file=True)
    assert in_a_file.data.build(in_a_file.files).fingerprint()


def test_files_of_components_in_overrides_are_embedded_under_their_plain_name(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jitkit_plugins.tokenizers.tiktoken import TiktokenTokenizer

    (tmp_path / "given").mkdir()
    (tmp_path / "elsewhere").mkdir()
    TiktokenTokenizer.tiny(tmp_path / "given")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in ("../given/tiny.tiktoken", str(tmp_path / "given" / "tiny.tiktoken")):
        for overrides in (
            ["tokenizer.use=tiktoken", f"tokenizer.file={path}"],
            [f"tokenizer={{use='tiktoken', file='{path}'}}"],
        ):
            components = open_recipe(manifest, overrides=overrides)
            assert components.manifest.tokenizer.options["file"] == "tiny.tiktoken"
            tokenizer = components.tokenizer.build(components.files)
            assert list(tokenizer.files()) == ["tiny.tiktoken"]
    absent = open_recipe(manifest, overrides=["tokenizer={use='tiktoken', file='../none/tiny.tiktoken'}"])
    with pytest.raises(InputError, match=r"^\.\./none/tiny\.tiktoken: tokenizer\.file: found no such file"):
        absent.tokenizer.build(absent.files)
    two = ["tokenizer={use='tiktoken', file='a/same'}", "codec={use='table', file='b/same'}"]
    with pytest.raises(
        ManifestError, match=r"codec\.file: found 'b/same', after 'a/same'; expected files with different"
    ):
        open_recipe(manifest, overrides=two)


def test_a_problem_inside_an_overriding_table_is_located_at_the_override(manifest: Path) -> None:
    with pytest.raises(ManifestError, match=r"^--set: sampler\.bogus: found an unknown key"):
        open_recipe(manifest, overrides=["sampler={use='euler', bogus=1}"])


def test_a_path_that_is_not_utf8_is_refused(manifest: Path) -> None:
    with pytest.raises(InputError, match=r"^--data: found 'nov\\udce9l\.txt'; expected a path in UTF-8\. Rename it\."):
        open_recipe(manifest, data=Path("nov\udce9l.txt"))


def test_options_of_data_that_reads_files_stay(manifest: Path, tmp_path: Path) -> None:
    overrides = ['data={use="text", path="elsewhere", validation_fraction=0.3}']
    data = open_recipe(manifest, data=tmp_path / "text.txt", overrides=overrides).manifest.data
    assert data.options == {
        "path": str(tmp_path / "text.txt"),
        "validation_fraction": 0.3,
        "split": "size",
        "encoding": "utf-8",
    }


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


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.csv", "csv"),
        ("A.CSV", "csv"),
        ("a.csv.gz", "csv"),
        ("a.tsv.zst", "tsv"),
        ("a.parquet", "parquet"),
        ("shards/*.parquet", "parquet"),
        ("a.zip", "text"),
        ("a.tar.gz", "text"),
        ("a.jsonl.zst", "text"),
        ("folder", "text"),
        ("a.unknown", "text"),
    ],
)
def test_the_suffix_of_data_chooses_the_source(manifest: Path, name: str, source: str) -> None:
    for recipe in (manifest, "jit-nano"):
        assert open_recipe(recipe, data=Path(name)).manifest.data.use == source
    given = open_recipe(
        manifest, data=Path(name), overrides=["data={use='csv', path='x', column='body'}"]
    ).manifest.data
    assert (given.use, given.options["column"]) == ("csv", "body"), "a source on the command line stays"


def test_options_that_describe_a_file_do_not_stay_for_another_one(manifest: Path, tmp_path: Path) -> None:
    lines = ["use = 'text'", "path = 'a.txt'", "encoding = 'cp1252'", "split = 'hash'"]
    manifest.write_text(TINY.replace('use = "python-docs"', "\n".join(lines)))
    own, other = (open_recipe(manifest, data=Path(name)).manifest.data.options for name in ("a.txt", "b.txt"))
    assert (own["encoding"], own["split"]) == ("cp1252", "hash")
    assert (other["encoding"], other["split"]) == ("utf-8", "hash")
    table = open_recipe(manifest, data=Path("b.csv"), overrides=["data.column=body"]).manifest.data
    assert (table.options["column"], table.options["encoding"]) == ("body", "utf-8")
    named = open_recipe(manifest, data=Path("b.txt"), overrides=['data.encoding="latin-1"']).manifest.data.options
    assert named["encoding"] == "iso8859-1"
    with pytest.raises(ManifestError, match=r"data\.encoding: found 'latn1'; expected an encoding, such as latin1"):
        open_recipe(manifest, data=Path("b.txt"), overrides=["data.encoding=latn1"])

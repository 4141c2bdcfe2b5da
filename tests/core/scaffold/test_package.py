"""The package of a new plugin: complete, consistent, short, and written as a whole or not at all."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from jitkit.kinds import KIND_OF_WORD, KINDS
from jitkit.scaffold.names import MAX_LENGTH, PluginNames
from jitkit.scaffold.package import PROJECT, TEMPLATES, package_files
from tests.core.cli.conftest import run
from tests.core.test_imports import run as run_without

EVERY = [PluginNames(kind, name) for kind in KINDS for name in ("mine", "my_own-table", "x" * MAX_LENGTH)]
MINE = PluginNames(KIND_OF_WORD["codec"], "mine")
MAX_LINES = 100  # of the module with the component, which is read in a minute


def id_of(names: PluginNames) -> str:
    return f"{names.kind.word}-{len(names.name)}"


@pytest.mark.parametrize("names", EVERY, ids=id_of)
def test_the_files_agree_with_each_other(names: PluginNames) -> None:
    texts = package_files(names)
    project = tomllib.loads(texts[PROJECT])
    assert project["project"]["name"] == names.distribution
    assert project["project"]["entry-points"]["jitkit"] == {names.name: names.module}
    module = ast.parse(texts[f"{names.module}/{names.kind.word}.py"])
    assert names.class_name in {node.name for node in module.body if isinstance(node, ast.ClassDef)}
    hooks = [
        node.name for node in ast.parse(texts[f"{names.module}/__init__.py"]).body if isinstance(node, ast.FunctionDef)
    ]
    assert hooks == [names.kind.hook]
    assert "{{" not in "".join(text for path, text in texts.items() if not path.endswith(".yml"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
def test_the_module_is_short(kind) -> None:
    names = PluginNames(kind, "mine")
    assert len(package_files(names)[f"{names.module}/{kind.word}.py"].splitlines()) <= MAX_LINES


def test_every_template_is_used() -> None:
    templates = {path.name.removesuffix(".jinja") for path in files("jitkit.scaffold").joinpath("templates").iterdir()}
    assert templates == {template.format(word=kind.word) for template in TEMPLATES.values() for kind in KINDS}


def test_ruff_has_nothing_to_change_in_a_package_with_any_name(tmp_path: Path) -> None:
    for number, names in enumerate(EVERY):
        for name, text in package_files(names).items():
            path = tmp_path / str(number) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for command in (("check",), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", tmp_path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_the_command_reports_what_it_has_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("plugins", "new", "codec", "mine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "wrote jitkit-mine, with the codec in jitkit_mine/codec.py",
        "next: pip install -e jitkit-mine && jitkit plugins check mine",
    ]
    written = sorted(
        path.relative_to("jitkit-mine").as_posix() for path in Path("jitkit-mine").rglob("*") if path.is_file()
    )
    done = run("plugins", "new", "codec", "mine", "-o", tmp_path / "my own" / "folder", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "jitkit.plugins-new/1"
    assert document["files"] == written == sorted(package_files(MINE))
    assert (tmp_path / "my own" / "folder" / "jitkit_mine" / "codec.py").is_file()


@pytest.mark.parametrize("existing", ["README.md", "pyproject.toml", "tests/test_codec.py"])
def test_a_file_that_exists_is_kept_and_nothing_is_written(tmp_path: Path, existing: str) -> None:
    mine = tmp_path / "plugin" / existing
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = run("plugins", "new", "codec", "mine", "-o", tmp_path / "plugin")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"found a file {existing!r}; expected a folder without one." in done.stderr
    assert [path for path in (tmp_path / "plugin").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_a_package_is_written_without_torch(tmp_path: Path) -> None:
    run_without(f"plugins new codec mine --out {tmp_path / 'plugin'}", {"torch"})


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("mine")
    assert run("plugins", "new", "codec", "mine", "-o", tmp_path).returncode == 0
    assert (tmp_path / ".git" / "HEAD").read_text() == "mine"


@pytest.mark.parametrize(
    "fault", ["codec.py:write", "moves.json:create", "README.md:after-replace:2", f"{PROJECT}:before-replace:2"]
)
@pytest.mark.parametrize("reason", ["killed", "disk full"])
def test_a_package_is_written_whole_or_not_at_all(tmp_path: Path, fault: str, reason: str) -> None:
    folder = tmp_path / "plugin"
    failed = run(
        "plugins",
        "new",
        "codec",
        "mine",
        "-o",
        folder,
        JITKIT_FAULT=fault + (":ENOSPC" if reason == "disk full" else ""),
    )
    assert failed.returncode == (6 if reason == "disk full" else -9)
    assert not (folder / PROJECT).exists()
    if reason == "disk full":
        assert failed.stderr.count("\n") == 1
        assert not folder.exists()
    assert run("plugins", "new", "codec", "mine", "-o", folder).returncode == 0
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *package_files(MINE)
    }


@pytest.mark.parametrize(
    ("arguments", "code"), [(("codec", "bits"), 2), (("codek", "mine"), 2), (("codec", "Mine"), 2), (("codec",), 2)]
)
def test_bad_arguments_are_one_line_and_write_nothing(tmp_path: Path, monkeypatch, arguments, code) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("plugins", "new", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert done.stderr.startswith("jitkit: error: ")
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = run("plugins", "new", "codec", "mine", "-o", tmp_path / "file")
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert (tmp_path / "file").read_text() == "mine"

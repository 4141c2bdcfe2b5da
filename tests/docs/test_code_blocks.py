"""Commands and programs in README and docs run, and print the output shown."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from jitkit.assembly import resolve
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.files import Files
from jitkit.manifest.reader import parse_manifest
from jitkit.manifest.schema import Manifest
from tests.docs.pages import LANGUAGES, ROOT, Block, Page, commands, matches, pages

REGISTRY = Registry(create_plugin_manager())
BLOCKS = [block for page in pages() for block in page.blocks()]
README = Page(ROOT / "README.md")
PLUGINS = Page(ROOT / "docs" / "plugins.md")  # installs a package; see test_plugin_tutorial.py
RUN = [
    page
    for page in pages()
    if page not in (README, PLUGINS) and any(block.language in {"console", "python"} for block in page.blocks())
]


def name_of(page: Page) -> str:
    return str(page.path.relative_to(ROOT))


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_commands_and_programs_of_a_page_work(page, reader, monkeypatch) -> None:
    follow_page(page, reader, monkeypatch)


@pytest.mark.slow
def test_the_readme_works_from_top_to_bottom_in_an_empty_folder(newcomer, monkeypatch) -> None:
    follow_page(README, newcomer, monkeypatch)


def follow_page(page, reader, monkeypatch) -> None:
    """Run the commands and programs of a page in order."""
    monkeypatch.chdir(reader.folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in page.blocks():
        if block.note("skip") is not None:
            continue
        if file := block.note("write"):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            follow(block, reader)
        elif block.language == "python" and block.note("part of") is None:
            exec(compile(block.text, str(block), "exec"), names)


def follow(block: Block, reader) -> None:
    for command in commands(block):
        done = reader.run(command.line)
        message = f"{block}: $ {command.line}\n{done.stdout}"
        assert done.returncode == command.exit_code, (
            f"exit code {done.returncode}; the page shows {command.exit_code}: {message}"
        )
        if command.output:
            vary = block.note("numbers vary") is not None
            assert matches(command.output, done.stdout, numbers_vary=vary), (
                f"the page shows different output: {message}"
            )


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_valid_in_its_language(block) -> None:
    assert block.language in LANGUAGES, f"{block}: expected one of {', '.join(sorted(LANGUAGES))}"
    if block.language == "toml":
        check_tables(tomllib.loads(block.text))
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "python":
        compile(block.text, str(block), "exec")
    elif block.language == "console":
        assert commands(block)
    if file := block.note("part of"):
        assert block.text.strip() in (ROOT / file).read_text(encoding="utf-8"), f"{block}: not in {file}"
    if (reason := block.note("skip")) is not None:
        assert len(reason) > 10, f"{block}: give the reason for skipping the block"


def check_tables(document: dict[str, Any]) -> None:
    """Resolve a partial manifest, completed with the tables of `jit-nano`."""
    if document.keys() <= Manifest.model_fields.keys():
        whole = tomllib.loads((ROOT / "zoo" / "jit-nano.toml").read_text(encoding="utf-8")) | document
        whole["train"] = {"epochs": 1} | whole["train"]
        resolve(parse_manifest(tomli_w.dumps(whole), "page"), REGISTRY, Files(ROOT / "zoo"))


def test_wrong_output_on_a_page_is_detected(tmp_path) -> None:
    def block_of(text: str, notes: str = "") -> Block:
        path = tmp_path / "page.md"
        path.write_text(f"# Page\n\n{notes}```console\n{text}\n```\n")
        return Page(path).blocks()[0]

    found = commands(
        block_of("$ jitkit train x \\\n  --out y  # exit 4\nno\n...\n$ ls", "<!-- test: jitkit train ... -v -->\n")
    )
    assert [(c.line, c.exit_code, c.output) for c in found] == [
        ("jitkit train x   --out y -v", 4, "no\n..."),
        ("ls", 0, ""),
    ]
    assert matches("a ... c\n...\nend", "a b  c\nsomething\nmore\nend\n")
    assert not matches("a\nend", "a\nmore\nend\n")
    assert matches("loss 1.25 at 3", "loss 0.5 at 44\n", numbers_vary=True)
    assert not matches("loss 1.25", "loss 0.5\n")

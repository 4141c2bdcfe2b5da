"""The reference pages match the code: every command, option, and manifest key."""

from __future__ import annotations

import runpy

import pytest
import typer

from jitkit.cli import build_app
from jitkit.cli.help import ALIASES, placeholder
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.discovery.descriptions import FILE, index_of
from jitkit.errors import JitkitError, Stopped
from jitkit.kinds import KINDS
from jitkit.manifest.schema import Manifest
from tests.docs.pages import ROOT

REFERENCE = runpy.run_path(str(ROOT / "docs" / "reference.py"))
DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", REFERENCE["PAGES"])
def test_a_reference_page_is_up_to_date(page) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert REFERENCE["written"](text) == text, "run: python docs/reference.py"


def test_every_command_and_option_is_there() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")

    def visit(path: str, command) -> None:
        section = text.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
        assert section, path
        for parameter in command.params:
            is_option = parameter.param_type_name == "option"
            for name in (
                ()
                if parameter.hidden
                else set(parameter.opts) - set(ALIASES)
                if is_option
                else [placeholder(parameter)]
            ):
                assert name in section, f"{path}: {name}"
        for name in getattr(command, "members", ()):
            visit(f"{path} {name}", command.get_command(None, name))

    visit("jitkit", typer.main.get_command(build_app(create_plugin_manager())))


def test_the_index_of_the_built_in_components_is_up_to_date() -> None:
    folder = REFERENCE["PLUGINS"]
    assert (folder / FILE).read_text(encoding="utf-8") == index_of(create_plugin_manager(), folder), (
        "run: python docs/reference.py"
    )


def test_every_exit_code_is_there() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    codes = {kind.exit_code for kind in JitkitError.__subclasses__() if kind is not Stopped} | {0, 1}
    assert all(f"| {code} | " in text for code in codes)


def test_every_manifest_key_is_there() -> None:
    text = (DOCS / "manifests.md").read_text(encoding="utf-8")
    registry = Registry(create_plugin_manager())

    def section(heading: str) -> str:
        assert f"\n{heading}\n" in text
        return text.partition(f"\n{heading}\n")[2].partition("\n#")[0]

    for name, field in Manifest.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        for key in keys if name in {"guidance", "parallel", "train", "teacher", "eval", "weights"} else ():
            assert f"\n- `{key}` (" in section(f"## {name}")
    for kind in KINDS:
        shared = section(f"## {kind.table}") if kind.table in Manifest.model_fields else ""
        for use in registry.catalog(kind.table).names() if kind.table in Manifest.model_fields else ():
            for key, option in registry.component(kind.table, use).model_fields.items():
                own = section(f"### {kind.table} `{use}`")
                assert f"`{option.alias or key}`" in own
                assert f"\n- `{option.alias or key}` (" in shared + own

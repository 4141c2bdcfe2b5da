"""Every package that the code imports is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"jitkit", "jitkit_plugins", "pydantic_core"}  # pydantic pins its core, and documents imports from there
STANDARD = sys.stdlib_module_names | {"pydoc_data"}


NAMES = {"mauve": "mauve-text"}  # of distributions that may be absent and are not named after their package


def normalized(requirement: str) -> str:
    """Return the name of the distribution in a requirement."""
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, at any place."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {name.partition(".")[0] for name in found} - STANDARD - OWN


REQUIRED = {normalized(one) for one in PROJECT["dependencies"]}
EXTRAS = {normalized(one) for many in PROJECT["optional-dependencies"].values() for one in many}


@pytest.mark.parametrize("folder", ["jitkit", "plugins"])
def test_every_imported_package_is_declared(folder: str) -> None:
    owners = packages_distributions()
    undeclared = {
        f"{path.relative_to(ROOT)} imports {package}"
        for path in (ROOT / folder).rglob("*.py")
        for package in imported(path)
        if not {normalized(name) for name in owners.get(package, [NAMES.get(package, package)])} & (REQUIRED | EXTRAS)
    }
    assert not undeclared, "\n".join(sorted(undeclared))


def test_every_declared_package_is_imported() -> None:
    owners = packages_distributions()
    files = [path for folder in ("jitkit", "plugins") for path in (ROOT / folder).rglob("*.py")]
    used = {normalized(name) for path in files for one in imported(path) for name in owners.get(one, [one])}
    assert used >= REQUIRED

"""The files of a new plugin."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from jitkit import __version__
from jitkit.scaffold.names import PluginNames
from jitkit.storage.atomic import make_folder, write_file
from jitkit.storage.atomic_folder import atomic_folder

PROJECT = "pyproject.toml"  # makes the folder a package, so it appears last
TEMPLATES = {
    ".github/workflows/publish.yml": "publish.yml",
    ".github/workflows/test.yml": "test.yml",
    ".gitignore": "gitignore",
    "LICENSE": "LICENSE",
    "README.md": "README.md",
    PROJECT: PROJECT,
    "{module}/__init__.py": "init.py",
    "{module}/py.typed": "py.typed",
    "{module}/{word}.py": "{word}.py",
    "tests/test_{word}.py": "test.py",
}


def package_files(names: PluginNames) -> dict[str, str]:
    """Return the text of each file of a plugin by its path in the package."""
    environment = Environment(  # what it writes is Python and TOML, not HTML: `names` holds letters and digits only
        loader=PackageLoader("jitkit.scaffold", "templates"),
        autoescape=False,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    places = {"module": names.module, "word": names.kind.word}
    return {
        path.format(**places): environment.get_template(f"{template.format(**places)}.jinja").render(
            **places,
            name=names.name,
            kind=names.kind,
            distribution=names.distribution,
            class_name=names.class_name,
            version=__version__,
        )
        for path, template in TEMPLATES.items()
    }


def write_package(names: PluginNames, folder: Path) -> list[str]:
    """Write a plugin into `folder`, whole or not at all, and return the paths of its files.

    Raises UsageError if the folder has a file of the same name, ResourceError if it cannot be written.
    """
    files = package_files(names)
    with atomic_folder(folder, last=PROJECT) as new:
        for path, text in files.items():
            make_folder((new / path).parent)
            write_file(new / path, text.encode())
    return sorted(files)

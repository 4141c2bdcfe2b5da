"""Environments that have what a requirement brings and nothing else, so that a package that nobody declares is missing.

Nothing is downloaded: the packages are links to installed ones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

from tests.extras import missing
from tests.new_environment import site_packages

PROGRAM = "#!{python}\nimport sys\nfrom {entry.module} import {entry.attr} as main\nsys.exit(main())\n"


def link(programs: Path, requirement: str, *folders: Path) -> None:
    """Link the distributions that a requirement brings into the environment with these programs.

    They are in `folders` or in this environment. The test is skipped if one is missing; see `missing`.
    """
    own = site_packages(programs)
    for distribution in closure(requirement, (*map(str, folders), *sys.path)):
        for path in linked_paths(distribution):
            target = own / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(str(distribution.locate_file(path)))
        for entry in distribution.entry_points.select(group="console_scripts"):
            program = programs / entry.name
            if not program.exists():
                program.write_text(PROGRAM.format(python=programs / "python", entry=entry))
                program.chmod(0o755)


def closure(requirement: str, folders: tuple[str, ...]) -> Iterator[Distribution]:
    """Yield the distributions that a requirement brings, directly and through others."""
    waiting, seen = [Requirement(requirement)], set[tuple[str, str]]()
    while waiting:
        wanted = waiting.pop()
        found = distribution_of(wanted.name, folders)
        for extra in {"", *wanted.extras}:
            if (found.name, extra) in seen:
                continue
            seen.add((found.name, extra))
            needed = map(Requirement, found.requires or ())
            waiting += [one for one in needed if one.marker is None or one.marker.evaluate({"extra": extra})]
            if not extra:
                yield found


@cache
def distribution_of(name: str, folders: tuple[str, ...]) -> Distribution:
    """Return the first distribution of this name in `folders`."""
    return next(iter(distributions(name=name, path=list(folders))), None) or missing(f"the distribution {name}")


@cache
def linked_paths(distribution: Distribution) -> set[Path]:
    """Return the folders that are packages, and all other files. Several distributions may share the other folders."""
    files = [Path(file) for file in distribution.files or () if file.parts[0] != ".."]
    packages = {file.parent for file in files if file.name == "__init__.py"}
    return {next((folder for folder in reversed(file.parents) if folder in packages), file) for file in files}

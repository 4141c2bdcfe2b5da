"""Files for components under test."""

from __future__ import annotations

from pathlib import Path

from jitkit.files import Files


def files_of(component: object) -> Files:
    """Return files in which every path that a component's settings name is found, as if a user had given it."""
    return Files(Path(), allowed=frozenset(value for value in vars(component).values() if isinstance(value, str)))

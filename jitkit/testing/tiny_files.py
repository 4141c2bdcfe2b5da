"""Files for components under test."""

from __future__ import annotations

from pathlib import Path

from jitkit.files import Files


def files_of(component: object) -> Files:
    """Return files that resolve every path in the settings of a component."""
    return Files(Path(), allowed=frozenset(value for value in vars(component).values() if isinstance(value, str)))

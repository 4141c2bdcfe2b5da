"""The conformance tests: one module per kind of component, in which every public function is a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitkit.files import Files

ConformanceTest = Callable[[Any], None]
"""Takes a component; raises AssertionError if the component fails. Its docstring states the requirement."""


def files_of(component: object) -> Files:
    """Return files that resolve every path in the settings of a component."""
    return Files(Path(), allowed=frozenset(value for value in vars(component).values() if isinstance(value, str)))

"""The conformance tests: one module per kind of component, in which every public function is a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jitkit.files import Files

ConformanceTest = Callable[[Any], None]
"""Takes a component; raises AssertionError if the component fails. Its docstring states the requirement."""


def files_of(component: object) -> Files:
    """Return files that resolve every path in the settings of a component."""
    return Files(Path(), allowed=frozenset(value for value in vars(component).values() if isinstance(value, str)))


def assert_tensor(name: str, value: Any, shape: Sequence[int], dtype: Any) -> None:
    """Raise AssertionError if a tensor has another shape or dtype."""
    assert (*value.shape,) == (*shape,), f"{name} has the shape {(*value.shape,)}, expected {(*shape,)}"
    assert value.dtype == dtype, f"{name} is {value.dtype}, expected {dtype}"

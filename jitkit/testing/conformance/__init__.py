"""The conformance tests, one module per kind of component."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ConformanceTest = Callable[[Any], None]
"""Takes a component; raises AssertionError if the component fails. Its docstring states the requirement."""

"""What a law is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Law = Callable[[Any], None]
"""Takes a component instance; raises AssertionError where the component breaks it. Its docstring says the law in words."""

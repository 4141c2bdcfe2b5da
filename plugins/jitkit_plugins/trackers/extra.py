"""Importing the package of an extra."""

from __future__ import annotations

import importlib
from typing import Any

from jitkit.errors import ResourceError


def imported(module: str, extra: str) -> Any:
    """Return a module of the package of an extra, which has the name of its tracker. Raises ResourceError without it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        expected, hint = f"an installed one, for the tracker `{extra}`", f"pip install 'jitkit[{extra}]'"
        raise ResourceError(f"no package {extra}", expected, field="train.trackers", hint=hint) from error

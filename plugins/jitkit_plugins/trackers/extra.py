"""The package of an extra, which has the name of its tracker."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from jitkit.errors import ResourceError, missing_package


def require(extra: str) -> None:
    """Raise ResourceError if the package of an extra is not installed."""
    if find_spec(extra) is None:
        raise _missing(extra)


def imported(module: str, extra: str) -> Any:
    """Return a module of the package of an extra. Raises ResourceError without it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(extra) from error


def _missing(extra: str) -> ResourceError:
    return missing_package(extra, f"the tracker `{extra}`", extra, field="train.trackers")

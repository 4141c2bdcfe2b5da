"""Optional packages."""

from __future__ import annotations

import importlib
import os
from typing import NoReturn

import pytest


def need(package: str | None) -> None:
    """Skip the test if a package is missing. With CI=true a missing package is an error."""
    if package is None:
        return
    try:
        importlib.import_module(package)
    except ImportError:
        missing(f"the package {package} of an extra")


def missing(what: str) -> NoReturn:
    """Skip the test because something is not installed. With CI=true that is an error."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")

"""Optional packages."""

from __future__ import annotations

import importlib
import os

import pytest


def need(package: str | None) -> None:
    """Skip the test if a package is missing. With CI=true a missing package is an error."""
    if package is None:
        return
    try:
        importlib.import_module(package)
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"package {package} of an extra is not installed")

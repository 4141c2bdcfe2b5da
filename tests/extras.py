"""Packages that jitkit can do without."""

from __future__ import annotations

import importlib
import os

import pytest


def need(package: str | None) -> None:
    """Skip the test where a package is missing; where everything has to be tested (CI=true), that is an error."""
    if package is None:
        return
    try:
        importlib.import_module(package)
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no package {package}, which an extra brings")

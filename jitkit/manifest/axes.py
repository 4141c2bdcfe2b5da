"""Axes of settings: every combination of their values, and the override that sets a value."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import tomli_w

T = TypeVar("T")


def combinations(axes: Mapping[str, Sequence[T]]) -> list[dict[str, T]]:
    """Return every combination of one value per axis. The last axis varies fastest. Without axes: one empty dict."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def override_text(key: str, value: Any) -> str:
    """Return "KEY=VALUE" as `--set` takes it."""
    return f"{key}={toml_value(value)}"


def toml_value(value: Any) -> str:
    """Return a scalar, or a tuple of scalars, in TOML syntax on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()

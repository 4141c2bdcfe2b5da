"""Writing manifests and overrides in TOML."""

from __future__ import annotations

from typing import Any

import tomli_w

from jitkit.manifest.schema import Manifest


def manifest_to_toml(manifest: Manifest) -> str:
    """Return TOML text that parses to an equal manifest. Keys with the value None are left out."""
    return tomli_w.dumps(_without_none(manifest.model_dump(mode="json")))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def override_text(key: str, value: Any) -> str:
    """Return "KEY=VALUE" as `--set` takes it. The value is a scalar, or a tuple of scalars."""
    return f"{key}={_toml_value(value)}"


def _toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()

"""A JSON file of results that are computed once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitkit.errors import InputError, UsageError
from jitkit.storage.atomic import atomic_write


class ResultFile:
    """Results by name. Each is written as soon as it is known, so a killed program loses at most one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, Any] = _read(path) if path.exists() else {}

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return the result called `name`. If it is missing, compute and save it."""
        if name not in self.results:
            self.results[name] = compute()
            with atomic_write(self.path) as file:
                file.write(json.dumps(self.results, indent=1, allow_nan=False).encode())
        return self.results[name]

    def require(self, name: str, value: Any) -> None:
        """Save `value` as `name`. Raises UsageError if the file holds a different value."""
        if self.once(name, lambda: value) != value:
            raise UsageError(
                f"results of another {name}", "the same as before", file=self.path, hint="Choose another --out."
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"invalid JSON ({error})", "results", file=path, hint="Delete the file to start over."
        ) from error
    assert isinstance(results, dict)
    return results

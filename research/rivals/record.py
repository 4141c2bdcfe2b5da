"""What was found so far: a file that remembers each result under a name that says what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jitkit.errors import InputError, UsageError
from jitkit.storage.atomic import atomic_write


class Record:
    """Results by name, in a JSON file, each written as soon as it is there; a program that was killed loses one at most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, Any] = _read(path) if path.exists() else {}

    def once(self, name: str, find: Callable[[], Any]) -> Any:
        """Return the result of that name; `find` it, and write it, if it is not there yet."""
        if name not in self.results:
            self.results[name] = find()
            with atomic_write(self.path) as file:
                file.write(json.dumps(self.results, indent=1, allow_nan=False).encode())
        return self.results[name]

    def require(self, name: str, value: Any) -> None:
        """Raise UsageError when the file remembers another value; remember this one when it has none."""
        if self.once(name, lambda: value) != value:
            raise UsageError(
                f"results of another {name}", "the same as before", file=self.path, hint="Choose another --out."
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"no JSON ({error})", "results", file=path, hint="Delete the file to begin anew.") from error
    assert isinstance(results, dict)
    return results

"""Files of text, and of generated texts: those of `jitkit generate --json` and `research.competitors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jitkit.errors import InputError
from jitkit.filesystem import read_bytes

EXPECTED = "a JSON file of `jitkit generate --json` or `research.competitors`"


def read_text(path: str | Path) -> str:
    """Return the text of a file. Raises InputError if it is not UTF-8."""
    expected = "a text file in UTF-8"
    try:
        return read_bytes(path, expected=expected).decode()
    except UnicodeDecodeError as error:
        raise InputError(str(error), expected, file=path) from error


def read_samples(path: str | Path) -> dict[str, list[str]]:
    """Return the sets of texts in a file by name; that of `jitkit generate` has no name. Raises InputError for other files."""
    try:
        return _sets(json.loads(read_bytes(path, expected=EXPECTED)))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{type(error).__name__}: {error}", EXPECTED, file=path) from error


def _sets(content: Any) -> dict[str, list[str]]:
    if "texts" in content:
        return {"": [str(one["text"]) for one in content["texts"]]}
    sets = {
        name: [str(text) for text in found["texts"]]
        for name, found in content.items()
        if isinstance(found, dict) and "texts" in found
    }
    if not sets:
        raise ValueError("no texts")
    return sets

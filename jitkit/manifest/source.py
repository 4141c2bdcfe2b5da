"""The text of a manifest: parsed within limits, with the line of each key for error messages."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jitkit.errors import JitkitError, ManifestError, Problem, RefusedError, shortened
from jitkit.filesystem import read_bytes
from jitkit.storage.git_lfs import FOUND, HINT, is_pointer

MAX_BYTES = 1 << 20
MAX_DEPTH = 50  # of nested tables and arrays; far more than a manifest has, and far less than Python's recursion limit
MAX_KEY_PARTS = 100  # tomllib needs quadratic time for long dotted keys

Location = tuple[str | int, ...]
"""The path of a value: ("train", "ema", 0)."""

# Comments and strings, which may contain anything. Multi-line strings come first.
_OPAQUE = re.compile(r"""\"{3}(?:\\.|[^\\])*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*""", re.DOTALL)
_PART = r"""(?:[\w-]++|"[^"]*"|'[^']*')"""
_DOT = r"[ \t]*\.[ \t]*"
_KEYS = rf"({_PART}(?:{_DOT}{_PART})*)"
_KEY = re.compile(rf"^\s*{_KEYS}\s*=")
_TABLE = re.compile(rf"^\s*\[\[?\s*{_KEYS}\s*\]\]?\s*(?:#.*)?$")
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}{_DOT}){{{MAX_KEY_PARTS}}}")


@dataclass(frozen=True)
class ManifestSource:
    """A manifest's text and origin. `overridden` holds the keys that `--set` replaced.

    `kind` is its name in messages; grid files are read by this class too.
    """

    origin: str
    text: str
    overridden: frozenset[str] = frozenset()
    kind: str = "manifest"
    notes: tuple[str, ...] = ()  # about renamed keys

    @classmethod
    def read(cls, path: Path, kind: str = "manifest") -> ManifestSource:
        """Read a file. Raises ManifestError if it is not readable UTF-8 text, RefusedError if it is larger than 1 MiB."""
        expected = f"a readable {kind} (.toml) of at most 1 MiB"
        data = read_bytes(path, limit=MAX_BYTES, expected=expected, error=ManifestError, too_large=RefusedError)
        if is_pointer(data):
            raise ManifestError(FOUND, f"a {kind} (.toml)", file=path, hint=HINT)
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ManifestError("UTF-16 text", "UTF-8 text", file=path, hint=f"iconv -f UTF-16 -t UTF-8 {path}")
        try:
            return cls(str(path), data.decode("utf-8-sig"), kind=kind)
        except UnicodeDecodeError as error:
            raise ManifestError(f"invalid UTF-8 at byte {error.start}", "UTF-8 text", file=path) from error

    def parse(self) -> dict[str, Any]:
        """Return the TOML document. Raises ManifestError, with the line of a syntax error."""
        if not self.text.strip():
            hint = "See `jitkit zoo show jit-nano`." if self.kind == "manifest" else ""
            raise ManifestError("an empty file", f"a {self.kind}", file=self.origin, hint=hint)
        if (number := line_of_long_key(self.text)) is not None:
            found = f"a dotted key of more than {MAX_KEY_PARTS} parts"
            raise RefusedError(found, "a shorter key", file=self.origin, line=number)
        try:
            document = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise self._syntax_error(str(error)) from error
        except RecursionError as error:
            raise RefusedError("tables nested too deeply", f"a flat {self.kind}", file=self.origin) from error
        except ValueError as error:  # an integer with thousands of digits
            raise ManifestError(str(error).partition(";")[0], "a TOML value", file=self.origin) from error
        if _depth(document) > MAX_DEPTH:
            raise ManifestError("tables or arrays nested too deeply", f"a flat {self.kind}", file=self.origin)
        return document

    def _syntax_error(self, message: str) -> JitkitError:
        place = re.search(r"^(.*) \(at (?:line (\d+), column \d+|end of document)\)$", message)
        line = int(place[2]) if place and place[2] else None
        found = place[1][:1].lower() + place[1][1:] if place else message
        return ManifestError(f"a syntax error: {found}", "TOML", file=self.origin, line=line)

    def is_overridden(self, location: Location) -> bool:
        """Return whether an override replaced a key, or the whole table that has it."""
        return any(".".join(map(str, location[:length])) in self.overridden for length in range(1, len(location) + 1))

    @property
    def keys(self) -> list[str]:
        """The dotted keys in the text, in order."""
        return [".".join(key) for key in self._lines]

    def problem(self, location: Location, found: str, expected: str = "", hint: str = "") -> Problem:
        """Return a problem with the file, line and key of a location."""
        key = ".".join(part for part in location if isinstance(part, str))
        keys = tuple(key.split("."))
        line = None if self.is_overridden(keys) else self._line_of(keys)
        file = "--set" if line is None and self._is_among_overrides(key) else self.origin
        return Problem(found, expected, file, line, shortened(dotted(location)), hint)

    def _is_among_overrides(self, key: str) -> bool:
        """Return whether an override replaced a key, its table, or a key in it."""
        return self.is_overridden(tuple(key.split("."))) or any(one.startswith(f"{key}.") for one in self.overridden)

    def _line_of(self, key: tuple[str, ...]) -> int | None:
        """Return the line of a key, or of its table if the key is absent; None if neither exists."""
        lines = (self._lines.get(key[:length]) for length in range(len(key), 0, -1))
        return next((line for line in lines if line is not None), None)

    @cached_property
    def _lines(self) -> dict[tuple[str, ...], int]:
        """The line of each key and table, where it occurs first."""
        found: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(_OPAQUE.sub(_without_lines, self.text).split("\n"), 1):
            if header := _TABLE.match(line):
                table = _parts(header[1])
                found.setdefault(table, number)
            elif assignment := _KEY.match(line):
                found.setdefault(table + _parts(assignment[1]), number)
        return found


def dotted(location: Location) -> str:
    """Return a location as text: "train.ema[0]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def line_of_long_key(text: str) -> int | None:
    """Return the line of a dotted key with more than `MAX_KEY_PARTS` parts in TOML text, or None if there is none."""
    plain = _OPAQUE.sub(lambda match: '""' + "\n" * match[0].count("\n"), text)
    long_key = _LONG_KEY.search(plain)
    return None if long_key is None else plain.count("\n", 0, long_key.start()) + 1


def _depth(document: dict[str, Any]) -> int:
    """Return how deeply tables and arrays are nested: 1 for a document without either."""
    depth, level = 0, list[Any]([document])
    while level:
        depth += 1
        inside = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        level = [item for item in inside if isinstance(item, dict | list)]
    return depth


def _without_lines(match: re.Match[str]) -> str:
    """Return a comment or string unchanged if it is on one line, otherwise only its line ends."""
    return "\n" * match[0].count("\n") or match[0]


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))

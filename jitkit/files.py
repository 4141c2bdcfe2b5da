"""The files that a manifest may name: those in its own folder, or embedded in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from jitkit.errors import RefusedError, reading, shown


@dataclass(frozen=True)
class Files:
    """Resolves the file names in a manifest.

    `root` is the manifest's folder. `embedded` holds the files of a checkpoint, which take precedence over the disk.
    `allowed` are paths from the command line, which may be anywhere.
    """

    root: Path
    embedded: Mapping[str, bytes] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()

    def path(self, name: str, *, field: str) -> Path:
        """Return the path of `name`. Raises RefusedError if `name` is absolute, leaves the folder or contains NUL."""
        if name in self.allowed:
            return Path(name)
        pure = PurePosixPath(name)
        outside = pure.is_absolute() or ".." in pure.parts or bool(PureWindowsPath(name).drive)
        unsafe = not name or "\0" in name or outside or len(name.encode()) > 255
        if unsafe or not (self.root / name).resolve().is_relative_to(self.root.resolve()):
            hint = "To use data outside of it, pass --data PATH." if field == "data.path" else ""
            raise RefusedError(f"path {shown(name)}", f"a relative path inside {self.root}", field=field, hint=hint)
        return self.root / name

    def read(self, name: str, *, field: str) -> bytes:
        """Return the content of a file. Raises InputError if it cannot be read."""
        if name in self.embedded:
            return self.embedded[name]
        path = self.path(name, field=field)
        with reading(path, field=field):
            return path.read_bytes()


WORKING_FOLDER = Files(Path())

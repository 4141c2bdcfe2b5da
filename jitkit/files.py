"""Files that a manifest names: looked up in its own folder only, or inside the checkpoint that embeds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from jitkit.errors import InputError, RefusedError, shown


@dataclass(frozen=True)
class Files:
    """Where relative names in a manifest lead.

    `root` is the manifest's folder, `embedded` holds the files of a checkpoint (they win over the disk), `allowed` are
    paths that the user gave on the command line and that may therefore lie anywhere.
    """

    root: Path
    embedded: Mapping[str, bytes] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()

    def path(self, name: str, *, field: str) -> Path:
        """Return the path that `name` leads to; it need not exist.

        Raises RefusedError when `name` is absolute, climbs out of the folder or contains NUL.
        """
        if name in self.allowed:
            return Path(name)
        pure = PurePosixPath(name)
        unsafe = (
            not name or "\0" in name or pure.is_absolute() or ".." in pure.parts or bool(PureWindowsPath(name).drive)
        )
        if unsafe or len(name.encode()) > 255 or not (self.root / name).resolve().is_relative_to(self.root.resolve()):
            raise RefusedError(
                f"path {shown(name)}",
                f"a relative path inside {self.root}",
                field=field,
                hint="Give data that lies elsewhere on the command line (--data PATH)." if field == "data.path" else "",
            )
        return self.root / name

    def read(self, name: str, *, field: str) -> bytes:
        """Return the content of the file that `name` leads to. Raises InputError when it cannot be read."""
        if name in self.embedded:
            return self.embedded[name]
        path = self.path(name, field=field)
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError(error.strerror or str(error), "a readable file", file=path, field=field) from error


WORKING_FOLDER = Files(Path())
"""Names lead into the working folder."""

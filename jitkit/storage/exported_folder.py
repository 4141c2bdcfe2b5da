"""The names of the files in an exported folder, and their checksums, which `sha256sum -c` understands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jitkit.filesystem import is_file, read_bytes

WEIGHTS, MANIFEST, README, FILM_STRIP = "model.safetensors", "manifest.toml", "README.md", "film-strip.png"
SUMS = "SHA256SUMS"
MAX_SUMS = 2**20  # bytes


def sums_of(digests: Mapping[str, str]) -> bytes:
    """Return the content of SHA256SUMS for the SHA-256 of each file by name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()


def read_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by name, as an exported folder states them; empty unless it is one."""
    if not is_file(folder / SUMS):
        return {}
    lines = read_bytes(folder / SUMS, limit=MAX_SUMS).decode(errors="replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    return listed if {WEIGHTS, MANIFEST} <= listed.keys() else {}

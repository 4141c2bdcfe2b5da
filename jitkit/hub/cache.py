"""Downloaded models in the cache: a folder for each commit, and the commit that each branch or tag had last.

A folder is an exported one. Its SHA256SUMS is written here, after the download was checked, and makes it complete.
"""

from __future__ import annotations

import json
from pathlib import Path

from jitkit.errors import RefusedError
from jitkit.files import member_path
from jitkit.filesystem import entries, exists, is_file, read_bytes
from jitkit.hub.reference import Reference, is_commit
from jitkit.storage.atomic import write_file
from jitkit.storage.cache import cache_folder
from jitkit.storage.exported_folder import SUMS, WEIGHTS, read_sums
from jitkit.storage.file_content import read_file

REVISIONS = "revisions.json"
MAX_REVISIONS = 2**20  # bytes


def hub_cache() -> Path:
    """Return the folder of all downloaded models."""
    return cache_folder("hub")


def commits_folder(reference: Reference) -> Path:
    """Return the folder that has a folder for each downloaded commit of a model. A download creates it."""
    return hub_cache() / reference.id.replace("/", "--")


def is_downloaded(folder: Path) -> bool:
    """Return whether the folder of a commit is complete."""
    return exists(folder / SUMS)


def require_unchanged(folder: Path, *, weights: bool = False) -> None:
    """Raise RefusedError, naming the file, if the folder of a commit no longer has the files that were downloaded.

    The weights are compared only on request: opening a model compares them with the manifest.
    """
    sums = read_sums(folder)
    added = {path.name for path in entries(folder)} - {SUMS, *(name.partition("/")[0] for name in sums)}
    changed = [name for name, digest in sums.items() if (weights or name != WEIGHTS) and _differs(folder, name, digest)]
    for name in [*([] if sums else [SUMS]), *changed, *sorted(added)]:
        found, hint = "content that differs from what was downloaded", f"Delete {folder} to download it again."
        raise RefusedError(found, "the same content", file=folder / name, hint=hint)


def _differs(folder: Path, name: str, digest: str) -> bool:
    path = member_path(folder, name, field=SUMS)
    return not is_file(path) or read_file(path).sha256 != digest


def last_commit(reference: Reference) -> str | None:
    """Return the commit that a branch or tag had at the last download, if it is in the cache."""
    folder = commits_folder(reference)
    commit = _revisions(folder).get(reference.revision)
    return commit if commit and is_commit(commit) and is_downloaded(folder / commit) else None


def remember_commit(reference: Reference, commit: str) -> None:
    """Record the commit that a branch or tag has now."""
    folder = commits_folder(reference)
    revisions = _revisions(folder)
    if revisions.get(reference.revision) != commit:
        document = json.dumps({**revisions, reference.revision: commit}, indent=2)
        write_file(folder / REVISIONS, document.encode())


def _revisions(folder: Path) -> dict[str, str]:
    """Return the recorded commits by revision; empty if the record is damaged, since a download restores it."""
    if not is_file(folder / REVISIONS):
        return {}
    try:
        document = json.loads(read_bytes(folder / REVISIONS, limit=MAX_REVISIONS))
    except (ValueError, RecursionError):
        return {}
    items = document.items() if isinstance(document, dict) else ()
    return {name: commit for name, commit in items if isinstance(commit, str)}

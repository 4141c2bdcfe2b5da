"""A commit of a repository on the Hub: what the Hub states about it before anything is downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from jitkit.errors import InputError, RefusedError, shown
from jitkit.hub.client import hub_client
from jitkit.hub.contents import MAX_SIZE, REQUIRED
from jitkit.hub.reference import Reference, is_commit
from jitkit.storage.exported_folder import WEIGHTS
from jitkit.storage.file_content import FileContent

EXPECTED = "a model of jitkit, as `jitkit push` writes it"


@dataclass(frozen=True)
class RemoteFile:
    """What the Hub states about a file."""

    size: int  # bytes
    sha256: str | None  # of a file in large file storage
    blob: str | None  # the id in git of any other file

    def require(self, file: FileContent, name: object) -> None:
        """Raise RefusedError, about `name`, unless a download is this file."""
        if self.sha256:
            found, expected = file.sha256, self.sha256
        else:
            blob = hashlib.sha1(b"blob %d\0" % len(file.data), usedforsecurity=False)  # as git computes it
            blob.update(file.data)
            found, expected = blob.hexdigest(), self.blob or "an id"
        if found != expected or len(file.data) != self.size:
            found, expected = f"{len(file.data)} bytes, {found}", f"{self.size} bytes, {expected}, as the Hub states"
            raise RefusedError(found, expected, file=name)


@dataclass(frozen=True)
class Commit:
    """A commit of a model's repository."""

    reference: Reference  # pinned
    files: Mapping[str, RemoteFile]

    def file(self, name: str) -> RemoteFile:
        """Return what the Hub states about a file. Raises InputError if there is none, RefusedError if it is too large."""
        if name not in self.files:
            raise InputError(f"no file {shown(name)}", EXPECTED, file=self.reference)
        if name != WEIGHTS and self.files[name].size > MAX_SIZE:
            found, expected = f"{self.files[name].size} bytes", f"at most {MAX_SIZE} bytes"
            raise RefusedError(found, expected, file=self.reference.path(name))
        return self.files[name]


def find_commit(reference: Reference) -> Commit:
    """Return the commit that a reference means now.

    Raises InputError if there is none, or no model of jitkit in it, and ResourceError without a connection.
    """
    with hub_client(reference) as client:
        info = client.model_info(reference.id, revision=reference.revision, files_metadata=True)
    if not is_commit(info.sha or "") or (reference.is_pinned and info.sha != reference.revision):
        raise InputError(f"commit {shown(info.sha)}", "the commit of the revision", file=reference)
    files = {
        file.rfilename: RemoteFile(file.size or 0, file.lfs.sha256 if file.lfs else None, file.blob_id)
        for file in info.siblings or ()
    }
    commit = Commit(reference.at(str(info.sha)), files)
    for name in REQUIRED:
        commit.file(name)
    return commit

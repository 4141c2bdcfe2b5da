"""Uploading a model to the Hub: one commit with its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jitkit.errors import UsageError
from jitkit.hub.client import hub_client
from jitkit.hub.contents import require_listed
from jitkit.hub.reference import Reference
from jitkit.manifest.reader import parse_manifest
from jitkit.storage.exported_folder import MANIFEST


@dataclass(frozen=True)
class Uploaded:
    """What an upload has created."""

    reference: Reference  # pinned
    url: str  # of the commit


def upload(files: Mapping[str, bytes], reference: Reference, *, message: str, private: bool = False) -> Uploaded:
    """Commit the files of an exported model, and create the repository if there is none.

    Raises RefusedError for a file that does not belong to the model, UsageError if it must be `private` and the
    repository is public, InputError without permission, and ResourceError without a connection.
    """
    manifest = parse_manifest(files[MANIFEST].decode(), MANIFEST)
    require_listed(files, manifest, file=reference)
    with hub_client(reference) as client:
        from huggingface_hub import CommitOperationAdd

        client.create_repo(reference.id, private=private or None, exist_ok=True)
        if private and not client.model_info(reference.id).private:
            raise UsageError("a public repository", "a private one, or a new name", file=reference, field="--private")
        additions = [CommitOperationAdd(name, content) for name, content in files.items()]
        commit = client.create_commit(reference.id, additions, commit_message=message)
    return Uploaded(reference.at(str(commit.oid)), str(commit.commit_url))

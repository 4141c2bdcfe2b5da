"""Checkpoint folders at a URL, such as ``s3://bucket/run``: a copy of those on disk, in case the disk is lost.

A folder there has the name of the one on disk and the first digits of its index's SHA-256, so no save writes over another.
Its index comes last, as on disk.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jitkit.checkpoints.shard_index import INDEX, ShardIndex, read_shard_index
from jitkit.errors import ResourceError, first_line
from jitkit.files import member_path
from jitkit.storage.faults import fault_point

PAUSES = (1.0, 4.0, 16.0)  # seconds before another try
_NAME = re.compile(r"checkpoint_step_(?P<step>\d{8,})(_\d+)?-[0-9a-f]{8}")


def remote_name(folder: Path, index: ShardIndex) -> str:
    """Return the name of a checkpoint folder at a URL."""
    return f"{folder.name}-{index.sha256[:8]}"


def step_of(name: str) -> int:
    """Return the step in the name of a folder at a URL."""
    found = _NAME.fullmatch(name)
    return int(found["step"]) if found else 0


class RemoteCheckpoints:
    """The checkpoint folders at a URL of any kind that fsspec writes. Raises ResourceError if the remote refuses."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url.rstrip("/")
        with self._reaching(self.url):
            self._system, self._path = fsspec.core.url_to_fs(self.url)

    def upload(self, path: Path, name: str) -> None:
        """Upload a file as `name` ("FOLDER/FILE"), in several tries if the connection fails."""
        fault_point(f"upload-{path.name}:create")
        for pause in (*PAUSES, None):
            try:
                with self._reaching(f"{self.url}/{name}"):
                    self._system.makedirs(f"{self._path}/{name.rpartition('/')[0]}", exist_ok=True)
                    self._system.put_file(str(path), f"{self._path}/{name}")
                return
            except ResourceError:
                if pause is None:
                    raise
                time.sleep(pause)

    def sizes(self, name: str = "") -> dict[str, int]:
        """Return the files and folders in a folder at the URL, with their sizes in bytes; empty if there is none."""
        with self._reaching(f"{self.url}/{name}"):
            self._system.invalidate_cache()
            try:
                found: list[dict[str, Any]] = self._system.ls(f"{self._path}/{name}".rstrip("/"), detail=True)
            except FileNotFoundError:
                return {}
        return {entry["name"].rstrip("/").rpartition("/")[2]: int(entry["size"] or 0) for entry in found}

    def complete(self) -> list[str]:
        """Return the names of the complete folders, the latest step first."""
        names = sorted(filter(_NAME.fullmatch, self.sizes()), key=lambda name: (step_of(name), name), reverse=True)
        return [name for name in names if INDEX in self.sizes(name)]

    def download(self, name: str, folder: Path) -> ShardIndex:
        """Download a checkpoint folder into an empty folder, its index first, and return the index."""
        self._download(name, INDEX, folder / INDEX)
        index = read_shard_index(folder)
        for file in index.files:
            self._download(name, file, member_path(folder, file, field="files"))
        return index

    def prune(self, keep: int) -> None:
        """Delete all but the latest `keep` complete folders. Their indexes go first."""
        for name in self.complete()[keep:]:
            with self._reaching(f"{self.url}/{name}"):
                self._system.rm_file(f"{self._path}/{name}/{INDEX}")
                self._system.rm(f"{self._path}/{name}", recursive=True)

    def _download(self, name: str, file: str, target: Path) -> None:
        with self._reaching(f"{self.url}/{name}/{file}"):
            self._system.get_file(f"{self._path}/{name}/{file}", str(target))

    @contextmanager
    def _reaching(self, place: str) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            raise ResourceError(f"no package for this URL ({error})", "an installed one", file=place) from error
        except Exception as error:  # each file system raises errors of its own
            found = f"{type(error).__name__} ({first_line(error)})"
            raise ResourceError(found, "a remote folder to write to", file=place) from error

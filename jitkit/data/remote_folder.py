"""A prepared folder at a URL: its listing, its index, and its shards, each downloaded once per machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from jitkit.data.shards import Shard, check_content
from jitkit.errors import InputError, JitkitError, ResourceError, first_line
from jitkit.files import member_path
from jitkit.filesystem import is_file
from jitkit.storage.atomic import rename, temporary_name, writing
from jitkit.storage.cache import cache_folder

PAUSES = (1.0, 4.0, 16.0)  # seconds before another try


class RemoteFolder:
    """A folder at any URL that fsspec reads, and the cache for its shards.

    Raises InputError for missing files, ResourceError if the remote refuses.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url.rstrip("/")
        self._copies = cache_folder("shards")  # one folder, even if JITKIT_CACHE changes during a download
        with self._reading(url):
            self._system, self._path = fsspec.core.url_to_fs(self.url)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The size in bytes of each file, by name."""
        with self._reading(self.url):
            listed: list[dict[str, Any]] = self._system.ls(self._path, detail=True)
            return {entry["name"].rstrip("/").rpartition("/")[2]: self._size_of(entry) for entry in listed}

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        with self._reading(self.place(name)):
            return bytes(self._system.cat_file(f"{self._path}/{name}"))

    def fetch(self, name: str, shard: Shard, dtype: str, vocab_size: int) -> Path:
        """Return the local copy of a shard, after a download if there is none. It has the recorded hash.

        Processes of one machine that need the same shard wait for one download.
        """
        local = member_path(self._copies, f"{shard.sha256}.bin")
        with FileLock(local.with_suffix(".lock")):
            if not is_file(local):
                temporary = temporary_name(local)
                try:
                    self._download(name, temporary)
                    check_content(temporary, shard, dtype, vocab_size)
                    with writing(local):
                        rename(temporary, local)
                except InputError as error:
                    found = f"{error.problems[0].field or 'content'} {error.problems[0].found}"
                    hint = "Upload the folder again."
                    raise InputError(found, error.problems[0].expected, file=self.place(name), hint=hint) from error
                finally:
                    with suppress(OSError):
                        temporary.unlink(missing_ok=True)
        return local

    def place(self, name: str) -> str:
        """Return the URL of a file, for messages."""
        return f"{self.url}/{name}"

    def _size_of(self, entry: Mapping[str, Any]) -> int:
        """Return the size of a file in bytes. The listing of a web server does not have it."""
        size = entry["size"]
        return int((self._system.size(entry["name"]) if size is None else size) or 0)

    def _download(self, name: str, target: Path) -> None:
        """Download a file, in several tries if the connection fails."""
        for pause in (*PAUSES, None):
            try:
                with self._reading(self.place(name)):
                    self._system.get_file(f"{self._path}/{name}", str(target))
                return
            except ResourceError:
                if pause is None:
                    raise
                time.sleep(pause)

    @contextmanager
    def _reading(self, place: str) -> Iterator[None]:
        try:
            yield
        except JitkitError:
            raise
        except FileNotFoundError as error:
            raise InputError("no such file", "prepared text, uploaded as a whole", file=place) from error
        except ImportError as error:
            raise ResourceError(f"no package for this URL ({error})", "an installed one", file=place) from error
        except Exception as error:  # each file system raises errors of its own
            found = f"{type(error).__name__} ({first_line(error)})"
            raise ResourceError(found, "a remote folder that can be read", file=place) from error

"""Published encodings: downloaded once, then read from a cache, and always checked against their SHA-256."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Literal, NamedTuple

from jitkit.errors import InputError, RefusedError, ResourceError
from jitkit.filesystem import read_bytes
from jitkit.storage.atomic import write_file
from jitkit.storage.cache import cache_folder
from jitkit.tokenization.ranks import MAX_FILE, PATTERN

EncodingName = Literal["r50k_base", "cl100k_base", "o200k_base"]

CONNECT_SECONDS = 5.0  # timeout for connecting, and between two packets
DOWNLOAD_SECONDS = 120.0  # timeout for the whole file (1 to 4 MB)


class Published(NamedTuple):
    """The URL of an encoding's ranks, their SHA-256, and its pattern."""

    url: str
    sha256: str
    pattern: str


_BASE_URL = "https://openaipublic.blob.core.windows.net/encodings/"

# As in tiktoken_ext.openai_public.
PUBLISHED: dict[str, Published] = {
    "r50k_base": Published(
        _BASE_URL + "r50k_base.tiktoken",
        "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    ),
    "cl100k_base": Published(
        _BASE_URL + "cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
    "o200k_base": Published(
        _BASE_URL + "o200k_base.tiktoken", "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d", PATTERN
    ),
}


def read_published(published: Published, name: str) -> bytes:
    """Return the `.tiktoken` file of a published encoding from a cache, or download it into the cache.

    `name` is for messages. Raises ResourceError if it is neither cached nor available, RefusedError if the server sends
    another file.
    """
    key = hashlib.sha1(published.url.encode(), usedforsecurity=False).hexdigest()  # the file name that tiktoken uses
    configured = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    tiktoken_cache = Path(configured) if configured else Path(tempfile.gettempdir(), "data-gym-cache")
    state = "not cached"
    for folder in (tiktoken_cache, cache_folder("tiktoken")):
        data = _read(folder / key)
        if data is not None and hashlib.sha256(data).hexdigest() == published.sha256:
            return data
        if data is not None:
            state = f"whose cached copy {folder / key} is damaged"
    data = _download(published, f"{name}, {state}")
    # Write to the configured folder if any, but never to tiktoken's default, which all users of the machine share.
    folder = tiktoken_cache if configured else cache_folder("tiktoken")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(folder / key, data)
    return data


def _read(path: Path) -> bytes | None:
    try:
        return read_bytes(path, limit=MAX_FILE)
    except InputError:  # missing or unreadable: try the next folder
        return None


def _download(published: Published, wanted: str) -> bytes:
    import requests

    deadline = time.monotonic() + DOWNLOAD_SECONDS
    data = bytearray()
    try:
        with requests.get(published.url, timeout=CONNECT_SECONDS, stream=True) as response:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 16):
                data += chunk
                if len(data) > MAX_FILE or time.monotonic() > deadline:
                    raise requests.Timeout(f"{len(data)} bytes in {DOWNLOAD_SECONDS:g} s")
    except requests.RequestException as error:
        found = f"encoding {wanted}, and no response from the network ({type(error).__name__})"
        expected = "a copy in $TIKTOKEN_CACHE_DIR, or a local file"
        hint = f"Download {published.url} once, or set `file` to a local .tiktoken file."
        raise ResourceError(found, expected, field="tokenizer.encoding", hint=hint) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != published.sha256:
        found, hint = f"SHA-256 {digest} of {published.url}", "The server or a proxy sent a different file."
        raise RefusedError(found, published.sha256, field="tokenizer.encoding", hint=hint)
    return bytes(data)

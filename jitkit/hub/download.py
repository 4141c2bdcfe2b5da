"""Downloading a model of the Hub into the cache. Its files are checked, and none of them is ever executed."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from jitkit.errors import InputError, RefusedError, ResourceError, UnpinnedWarning, shown
from jitkit.files import member_path
from jitkit.hub.cache import commits_folder, is_downloaded, last_commit, remember_commit, require_unchanged
from jitkit.hub.client import hub_client
from jitkit.hub.commit import EXPECTED, Commit, find_commit
from jitkit.hub.contents import OPTIONAL, listed_files
from jitkit.hub.reference import Reference
from jitkit.manifest.reader import parse_manifest
from jitkit.manifest.schema import Manifest
from jitkit.manifest.source import ManifestSource
from jitkit.progress import Counter, Progress, silent
from jitkit.storage.atomic import write_file
from jitkit.storage.atomic_folder import atomic_folder
from jitkit.storage.exported_folder import MANIFEST, SUMS, WEIGHTS, sums_of
from jitkit.storage.file_content import read_file


def downloaded(reference: Reference, progress: Progress = silent) -> Path:
    """Return the folder of a model in the cache, after a download if necessary. It is like an exported folder.

    A commit in the cache needs no connection. A branch or tag is looked up; without a connection, the commit that it had
    last is used. Warns with `UnpinnedWarning` which commit that is. Raises InputError if there is no such model,
    ResourceError if it is not in the cache and there is no connection, and RefusedError if its content is not what the
    Hub and its manifest state, or has changed in the cache.
    """
    home = commits_folder(reference)
    is_there = reference.is_pinned and is_downloaded(home / reference.revision)
    commit = reference.revision if is_there else _current_commit(reference, progress)
    require_unchanged(home / commit)
    return home / commit


def _current_commit(reference: Reference, progress: Progress) -> str:
    """Return the commit that a reference means now, or meant last. It is in the cache afterwards."""
    try:
        found = find_commit(reference)
    except ResourceError as error:
        if (commit := last_commit(reference)) is None:
            raise _not_cached(error) from error
        how = f", the last one in the cache (found {error.problems[0].found})"
    else:
        _download(found, progress)
        commit, how = found.reference.revision, ""
        remember_commit(reference, commit)
    if not reference.is_pinned:
        warnings.warn(f"{reference} is commit {commit}{how}", UnpinnedWarning, stacklevel=4)
    return commit


def _not_cached(error: ResourceError) -> ResourceError:
    [problem] = error.problems
    return ResourceError(problems=[replace(problem, found=f"{problem.found}, and no download in the cache")])


def _download(commit: Commit, progress: Progress) -> None:
    """Download a commit into the cache, unless it is there. Other processes that want it wait."""
    folder = commits_folder(commit.reference) / commit.reference.revision
    with FileLock(f"{folder.parent}.lock"):
        if is_downloaded(folder):
            return
        with atomic_folder(folder, last=SUMS) as new:
            digests = _download_files(commit, new, progress)
            shutil.rmtree(new / ".cache", ignore_errors=True)  # where the package records its downloads
            write_file(new / SUMS, sums_of(digests))


def _download_files(commit: Commit, folder: Path, progress: Progress) -> dict[str, str]:
    """Download the files that belong to a model, and return the SHA-256 of each. Raises RefusedError as `downloaded`."""
    digests = _receive(commit, [MANIFEST], folder, silent)
    manifest = _read(commit, folder / MANIFEST)
    names = [name for name in listed_files(manifest, file=commit.reference) if name not in digests]
    wanted = [name for name in names if name in commit.files or name not in OPTIONAL]
    digests |= _receive(commit, wanted, folder, progress)
    if digests[WEIGHTS] != manifest.weights.sha256:
        expected, place = f"{manifest.weights.sha256}, as {MANIFEST} states", commit.reference.path(WEIGHTS)
        raise RefusedError(digests[WEIGHTS], expected, file=place, field="sha256")
    return digests


def _read(commit: Commit, path: Path) -> Manifest:
    """Return the manifest of a commit. Raises InputError if it names no weights, or other ones."""
    origin = commit.reference.path(MANIFEST)
    manifest = parse_manifest(ManifestSource.read(path).text, origin)
    if manifest.weights.file != WEIGHTS:
        raise InputError(shown(manifest.weights.file), shown(WEIGHTS), file=origin, field="weights.file", hint=EXPECTED)
    return manifest


def _receive(commit: Commit, names: Sequence[str], folder: Path, progress: Progress) -> dict[str, str]:
    """Download files into a folder, compare them with what the Hub states, and return the SHA-256 of each."""
    reference, digests = commit.reference, dict[str, str]()
    counter = Counter(progress, "downloading", sum(commit.file(name).size for name in names))
    for name in names:
        path = member_path(folder, name)
        with hub_client(reference) as client:
            client.hf_hub_download(
                reference.id, name, revision=reference.revision, local_dir=folder, tqdm_class=_bar_class(counter)
            )
        file = read_file(path)
        commit.file(name).require(file, reference.path(name))
        digests[name] = file.sha256
    return digests


def _bar_class(counter: Counter) -> Any:
    """Return a class of progress bars that draw nothing and count the bytes that `huggingface_hub` receives."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> None:
            counter.add(int(n or 0))

    return Bar

"""Where a run trains, and on which text, if the command names only its manifest or a checkpoint."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from jitkit.checkpoints.run_index import is_run_folder, read_index
from jitkit.discovery.loader import PluginManager
from jitkit.discovery.registry import Registry
from jitkit.errors import InputError, RefusedError, UsageError
from jitkit.files import hint_inside, member_path
from jitkit.filesystem import exists, is_file
from jitkit.manifest.source import ManifestSource
from jitkit.storage.exported_folder import MANIFEST
from jitkit.training.resume import run_folder_of
from jitkit.training.run_folder import RunFolder


def own_folder(manifest: str | Path, resume: str | Path | None, run_id: str) -> Path:
    """Return the folder of a run without `--out`: that of the checkpoint, else that of a run's own manifest, else run/ID.

    Raises UsageError for a checkpoint that a run has set aside, because the run itself continued differently.
    """
    if resume is not None and resume != "auto":
        checkpoint = Path(resume)
        if is_run_folder(checkpoint):
            return checkpoint
        if run_folder_of(checkpoint) != checkpoint.parent:
            found, hint = "a checkpoint that its run has set aside", "Continue from it in a new folder: --out FOLDER."
            raise UsageError(found, "a checkpoint of the current run", file=checkpoint, hint=hint)
        return checkpoint.parent
    if _is_of_a_run(Path(manifest)):
        return Path(manifest).parent
    return member_path(Path("run"), run_id, field="id")


def own_manifest(resume: str | Path | None) -> Path:
    """Return the manifest of the run that is resumed. Raises UsageError without one, InputError if it is missing."""
    if resume is None or resume == "auto":
        raise UsageError("no manifest", "a zoo id, a manifest, or --resume with a run folder", field="MANIFEST")
    path = Path(resume)
    manifest = (path if is_run_folder(path) else run_folder_of(path)) / MANIFEST
    if not is_file(manifest):
        found = "no manifest.toml in the folder of the run" if exists(path) else "no such file or folder"
        hint = hint_inside(path, lambda run: is_file(run / MANIFEST))
        raise InputError(found, "a run folder", file=resume, field="--resume", hint=hint)
    return manifest


def own_text(manifest: str | Path, manager: PluginManager) -> Path | None:
    """Return the text that a run's own manifest names outside of its folder, as `--data` did; None for other manifests."""
    if not _is_of_a_run(Path(manifest)):
        return None
    data = ManifestSource.read(Path(manifest)).parse().get("data")
    use, name = (data.get("use"), data.get("path")) if isinstance(data, dict) else (None, None)
    source = Registry(manager).catalog("data").find(str(use))
    if not isinstance(name, str) or not getattr(source, "reads_paths", False):
        return None
    with suppress(RefusedError):  # a path that leaves the folder
        if exists(member_path(Path(manifest).parent, name)):
            return None
    return Path(name)


def _is_of_a_run(manifest: Path) -> bool:
    """Return whether a run wrote this manifest, and not a user."""
    if manifest.name != MANIFEST or not is_file(manifest):
        return False
    index = read_index(manifest.parent) or RunFolder(manifest.parent).index
    return MANIFEST in index.files

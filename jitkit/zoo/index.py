"""The zoo: manifests by id. Needs neither torch nor components."""

from __future__ import annotations

from pathlib import Path

from jitkit.discovery.loader import PluginManager
from jitkit.errors import ManifestError, did_you_mean, shown
from jitkit.manifest.source import ManifestSource


def builtin_folder() -> Path:
    """Return the folder of jitkit's own manifests: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    shipped = package / "_zoo"
    return shipped if shipped.is_dir() else package.parent / "zoo"


def zoo_index(manager: PluginManager) -> dict[str, Path]:
    """Return the manifest files by id, those of plugins included.

    Raises ManifestError when two files have one id.
    """
    folders = [builtin_folder(), *(folder for offer in manager.hook.jitkit_zoo() for folder in offer)]
    index: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.toml"))):
        name = str(ManifestSource.read(path).parse().get("id", path.stem))
        if name in index:
            raise ManifestError(f"id {shown(name)} of {index[name]} again", "one manifest an id", file=path, field="id")
        index[name] = path
    return index


def find_manifest(name_or_path: str, manager: PluginManager) -> Path:
    """Return the manifest file that a user means: a path, or the id of a zoo model.

    Raises ManifestError with the near name when it is neither.
    """
    path = Path(name_or_path)
    if path.exists():
        return path
    index = zoo_index(manager)
    if name_or_path in index:
        return index[name_or_path]
    if path.parts[:1] == ("zoo",) and path.stem in index:  # the README's spelling, where there is no checkout
        return index[path.stem]
    raise ManifestError(
        "no such file and no zoo id",
        f"a path or one of {', '.join(index)}",
        file=name_or_path,
        hint=did_you_mean(path.stem, index),
    )

"""The manifests of the zoo by id. Imports neither torch nor components."""

from __future__ import annotations

from pathlib import Path

from jitkit.discovery.loader import PluginManager
from jitkit.errors import ManifestError, RefusedError, did_you_mean, shown
from jitkit.filesystem import exists, is_folder, matching
from jitkit.hub.download import downloaded
from jitkit.hub.reference import is_reference, parse_reference
from jitkit.manifest.source import ManifestSource
from jitkit.storage.exported_folder import MANIFEST


def builtin_folder() -> Path:
    """Return the folder of jitkit's own manifests: inside the wheel, or next to the package in a checkout."""
    package = Path(__file__).parents[1]
    shipped = package / "_zoo"
    return shipped if is_folder(shipped) else package.parent / "zoo"


def zoo_folders(manager: PluginManager) -> list[Path]:
    """Return the folders with manifests of jitkit and of plugins. Commands only read them."""
    return [builtin_folder(), *(folder for of_plugin in manager.hook.jitkit_zoo() for folder in of_plugin)]


def zoo_index(manager: PluginManager, wanted: str | None = None) -> dict[str, Path]:
    """Return the manifest files by id, in the order of the ids, including those of plugins.

    Raises ManifestError or RefusedError for a file that cannot be read, and ManifestError if two files have the same id. If
    only one id is `wanted`, unrelated files are skipped.
    """
    index: dict[str, Path] = {}
    for path in (path for folder in zoo_folders(manager) for path in matching(folder, "*.toml", error=ManifestError)):
        try:
            name = str(ManifestSource.read(path).parse().get("id", path.stem))
        except (ManifestError, RefusedError):
            if wanted in (None, path.stem):
                raise
            continue
        if name in index and wanted in (None, name):
            raise ManifestError(f"id {shown(name)}, which {index[name]} has too", "a unique id", file=path, field="id")
        index.setdefault(name, path)
    return dict(sorted(index.items()))


def find_manifest(name_or_path: str, manager: PluginManager) -> Path:
    """Return the manifest file for a path, a zoo id, or a model of the Hub ("hf:owner/name"), downloaded if necessary.

    Raises ManifestError, suggesting the closest id, if there is none, and what `downloaded` raises.
    """
    if is_reference(name_or_path):
        return downloaded(parse_reference(name_or_path)) / MANIFEST
    path = Path(name_or_path)
    if name_or_path and exists(path, error=ManifestError):
        return path
    index = zoo_index(manager, path.stem if path.suffix == ".toml" else name_or_path)
    if name_or_path in index:
        return index[name_or_path]
    if path.parts[:1] == ("zoo",) and path.stem in index:  # "zoo/jit-nano.toml" works without a checkout too
        return index[path.stem]
    expected, hint = f"a path, hf:owner/name, or one of {', '.join(index)}", did_you_mean(path.stem, index)
    raise ManifestError("no such file and no zoo id", expected, file=name_or_path, hint=hint)

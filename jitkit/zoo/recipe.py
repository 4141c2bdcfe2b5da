"""Text that a user names on the command line, in place of what the manifest says."""

from __future__ import annotations

from pathlib import Path

from jitkit.files import Files
from jitkit.manifest.schema import Manifest, Use


def with_data(manifest: Manifest, root: Path, path: Path | None) -> tuple[Manifest, Files]:
    """Return the manifest with the text at `path` as its data (or as it is, for None), and the files it may name.

    `root` is the manifest's folder; `path` may be a file, a folder or a glob anywhere. Other options of a manifest whose
    data are text files, `validation_fraction` among them, stay.
    """
    if path is None:
        return manifest, Files(root)
    options = {name: value for name, value in manifest.data.options.items() if manifest.data.use == "text"}
    data = Use(use="text", **{**options, "path": str(path)})
    return manifest.model_copy(update={"data": data}), Files(root, allowed=frozenset({str(path)}))

"""Opening a recipe: a manifest or zoo id, with command-line overrides, becomes components and prepared text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jitkit.assembly import Components, resolve
from jitkit.data.shards import PreparedData, prepare
from jitkit.data.windows import Windows
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry
from jitkit.errors import PluginError, RenamedKeyWarning
from jitkit.files import Files
from jitkit.manifest.reader import read_manifest
from jitkit.manifest.schema import Manifest, Use
from jitkit.progress import Progress, silent
from jitkit.protocols import Tokenizer
from jitkit.zoo.index import find_manifest


@dataclass(frozen=True)
class PreparedText:
    """Tokenized text, cut into windows of one image each."""

    data: PreparedData
    length: int  # tokens per window

    @cached_property
    def train(self) -> Windows:
        """The windows of the training split. Raises InputError if it is shorter than one window."""
        return Windows(self.data.train, self.length)

    @cached_property
    def validation(self) -> Windows:
        """The windows of the validation split. Raises InputError if it is shorter than one window."""
        return Windows(self.data.validation, self.length)


def open_recipe(
    name: str | Path, *, data: Path | None = None, overrides: Sequence[str] = (), manager: PluginManager | None = None
) -> Components:
    """Return the components of a manifest file or zoo id.

    `overrides` ("train.lr=1e-3") replace keys of the manifest, and the text at `data` replaces its data. Raises
    ManifestError or PluginError as `find_manifest`, `read_manifest` and `resolve` do. Warns of keys with old names.
    """
    manager = manager or create_plugin_manager()
    path = find_manifest(str(name), manager)
    recipe = read_manifest(path, overrides)
    for text in recipe.source.notes:
        warnings.warn(text, RenamedKeyWarning, stacklevel=2)
    return resolve_recipe(recipe, path.parent, Registry(manager), data)


def resolve_recipe(manifest: Manifest, folder: Path, registry: Registry, data: Path | None = None) -> Components:
    """Return the components of a manifest whose relative paths start in `folder`.

    `data` (a file, folder or glob anywhere) replaces the manifest's data. If the manifest already reads text files, its
    other data options, such as `validation_fraction`, stay.
    """
    if data is None:
        return resolve(manifest, registry, Files(folder))
    own = registry.catalog("data").find(manifest.data.use)
    reads_paths = getattr(own, "reads_paths", False)
    source = own if reads_paths else registry.first_with("data", "reads_paths")
    if source is None:
        raise PluginError("no data source that reads files", "an installed one", field="--data")
    options = {**(manifest.data.options if reads_paths else {}), "path": str(data)}
    manifest = manifest.model_copy(update={"data": Use(use=source.name, **options)})
    return resolve(manifest, registry, Files(folder, allowed=frozenset({str(data)})))


def prepared_text(
    components: Components, tokenizer: Tokenizer, length: int, *, progress: Progress = silent
) -> PreparedText:
    """Tokenize the text of a recipe, or find it in the cache, and cut it into windows. Raises what `prepare` raises."""
    source = components.data.build(components.files)
    pack_length = None if components.manifest.train.pack else length
    return PreparedText(prepare(source, tokenizer, pack_length=pack_length, progress=progress), length)

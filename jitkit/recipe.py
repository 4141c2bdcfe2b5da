"""Opening a recipe: a manifest or zoo id, with command-line overrides, becomes components and prepared text."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TypedDict

from torch import Tensor

from jitkit.assembly import TABLES, Components, resolve
from jitkit.component import Component
from jitkit.data.check import Checked, check_prepared
from jitkit.data.find_files import plain_name
from jitkit.data.given_folder import is_url, open_given
from jitkit.data.preparation import Workers
from jitkit.data.prepare import Part, Unfinished, prepare, prepare_part
from jitkit.data.prepared_folder import PreparedData
from jitkit.data.windows import Windows
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry
from jitkit.errors import InputError, ManifestError, PluginError, Problem, RenamedKeyWarning, is_unicode, shown
from jitkit.files import Files
from jitkit.manifest.reader import read_manifest
from jitkit.manifest.schema import Manifest, Use
from jitkit.progress import Progress, silent
from jitkit.protocols import DataSource, Tokenizer
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

    def validation_tokens(self, num: int) -> Tensor:
        """Return the windows [N, L] int64 that a run validates on: `num`, spread evenly over the text, or all if fewer."""
        starts = self.validation.consecutive
        num = min(num, len(starts))
        return self.validation.tokens(starts[number * len(starts) // num] for number in range(num))


def open_recipe(
    name: str | Path,
    *,
    data: Path | None = None,
    overrides: Sequence[str] = (),
    manager: PluginManager | None = None,
    from_file: bool = False,
) -> Components:
    """Return the components of a manifest file or zoo id.

    `overrides` ("train.lr=1e-3") replace keys of the manifest, and the text at `data` replaces its data. Paths in overrides
    may be anywhere and are relative to the working folder, or as in the manifest if the overrides come `from_file`. Raises
    ManifestError or PluginError as `find_manifest`, `read_manifest` and `resolve` do. Warns of keys with old names.
    """
    manager = manager or create_plugin_manager()
    path = find_manifest(str(name), manager)
    recipe = read_manifest(path, overrides)
    for text in recipe.source.notes:
        warnings.warn(text, RenamedKeyWarning, stacklevel=2)
    registry, files = Registry(manager), Files(path.parent)
    if not from_file:
        recipe, files = with_given_files(recipe, files)
    return _with_data(recipe, files, registry, data) if data is not None else resolve(recipe, registry, files)


@contextmanager
def named_as(names: Mapping[str, str]) -> Iterator[None]:
    """Name overrides in a ManifestError as the user wrote them: `names` holds an option or argument by manifest key."""
    try:
        yield
    except ManifestError as error:
        raise ManifestError(problems=[_renamed(problem, names) for problem in error.problems]) from error


def _renamed(problem: Problem, names: Mapping[str, str]) -> Problem:
    name = names.get(problem.field or "") if problem.file == "--set" else None
    return replace(problem, file=None, field=name) if name else problem


def with_given_files(manifest: Manifest, files: Files) -> tuple[Manifest, Files]:
    """Return the manifest and files for the paths in overrides, which are relative to the working folder.

    A component's `file` gets its plain name in the manifest, since a checkpoint embeds it under that name.
    """
    tables, given = dict[str, Use](), dict(files.given)
    for table, value in _overridden(manifest, "file"):
        name, path = Path(value).name, Path(value)
        if given.setdefault(name, path) != path:
            found = f"{shown(value)}, after {shown(str(given[name]))}"
            raise ManifestError(found, "files with different names", file="--set", field=f"{table}.file")
        tables[table] = getattr(manifest, table).model_copy(update={"file": name})
    allowed = files.allowed.union(path for _, path in _overridden(manifest, "path"))
    return manifest.model_copy(update=tables), replace(files, allowed=allowed, given=given)


def _overridden(manifest: Manifest, key: str) -> Iterator[tuple[str, str]]:
    """Yield each table of a component whose option `key` is a text that an override set, and this text."""
    for table in TABLES:
        value = getattr(manifest, table).options.get(key)
        if value and isinstance(value, str) and manifest.source.is_overridden((table, key)):
            yield table, value


def resolve_recipe(manifest: Manifest, folder: Path, registry: Registry, data: Path | None = None) -> Components:
    """Return the components of a manifest whose relative paths start in `folder`.

    `data` (a file, folder or glob anywhere) replaces the manifest's data. If the manifest already reads text files, its
    other data options, such as `validation_fraction`, stay.
    """
    files = Files(folder)
    return resolve(manifest, registry, files) if data is None else _with_data(manifest, files, registry, data)


def _with_data(manifest: Manifest, files: Files, registry: Registry, data: Path) -> Components:
    """Return the components with the text at `data`. Overrides of other data options stay, whatever the manifest reads."""
    if not is_unicode(str(data)):
        raise InputError(shown(str(data)), "a path in UTF-8", field="--data", hint="Rename it.")
    own, overridden = registry.catalog("data").find(manifest.data.use), manifest.source.overridden
    reads_paths = getattr(own, "reads_paths", False)
    if not reads_paths and overridden & {"data", "data.use"}:
        found = f"{shown(manifest.data.use)} and --data, which it does not read"
        raise ManifestError(found, "one of them", file="--set", field="data.use")
    source = own if reads_paths and overridden & {"data", "data.use"} else _reader_of(data.name, own, registry)
    if source is None:
        raise PluginError("no data source that reads files", "an installed one", field="--data")
    if "data.path" in overridden and manifest.data.options.get("path") in files.allowed:
        raise ManifestError("data.path and --data", "one of them", file="--set", field="data.path")
    stays = {key: value for key, value in manifest.data.options.items() if source is own or f"data.{key}" in overridden}
    if str(data) != stays.get("path") and not overridden & {"data", "data.encoding"}:
        stays.pop("encoding", None)  # of the other text
    if manifest.train.prepared:
        manifest = manifest.model_copy(update={"train": manifest.train.model_copy(update={"prepared": ""})})
    manifest = manifest.model_copy(update={"data": Use(use=source.name, **{**stays, "path": str(data)})})
    return resolve(manifest, registry, replace(files, allowed=files.allowed | {str(data)}))


def _reader_of(name: str, own: type[Component] | None, registry: Registry) -> type[Component] | None:
    """Return the data source for a file, by its suffix: the manifest's `own` if it may read it, or None without any."""
    readers = [member for member in registry.catalog("data").members() if getattr(member, "reads_paths", False)]
    if own in readers and (_reads(own, name) or not getattr(own, "path_suffixes", ())):
        return own
    named = next((reader for reader in readers if _reads(reader, name)), None)
    return named or (own if own in readers else next(iter(readers), None))


def _reads(source: type[Component] | None, name: str) -> bool:
    """Return whether a data source names the suffix of a file, without that of a compression, among its own."""
    suffixes = tuple(getattr(source, "path_suffixes", ()))
    return name.lower().endswith(suffixes) or plain_name(name).endswith(suffixes)


def prepared_text(
    components: Components,
    tokenizer: Tokenizer,
    length: int,
    *,
    progress: Progress = silent,
    workers: int = 1,
    refresh: bool = False,
) -> PreparedText:
    """Tokenize the text of a recipe, or find it in the cache, and cut it into windows. Raises what `prepare` raises.

    With `train.prepared`, open that folder instead, unless `refresh`. Raises what `open_given` raises.
    """
    if (name := components.manifest.train.prepared) and not refresh:
        place = name if is_url(name) else _given_path(components, name)
        return PreparedText(open_given(place, tokenizer, _pack_length(components, length)), length)
    prepared = prepare(
        **_inputs(components, tokenizer, length),
        progress=progress,
        workers=_workers(components, workers),
        refresh=refresh,
    )
    return PreparedText(prepared, length)


def prepared_part(
    components: Components, tokenizer: Tokenizer, length: int, part: Part, *, progress: Progress, workers: int
) -> PreparedText | Unfinished:
    """Do what `prepared_text` does for one part of a corpus. The last part returns the text."""
    inputs = _inputs(components, tokenizer, length)
    done = prepare_part(**inputs, part=part, progress=progress, workers=_workers(components, workers))
    return done if isinstance(done, Unfinished) else PreparedText(done, length)


def checked_text(components: Components, tokenizer: Tokenizer, length: int, *, progress: Progress) -> Checked:
    """Check every byte of the prepared text of a recipe. Raises what `check_prepared` raises."""
    return check_prepared(**_inputs(components, tokenizer, length), progress=progress)


class _Inputs(TypedDict):
    source: DataSource
    tokenizer: Tokenizer
    pack_length: int | None


def _inputs(components: Components, tokenizer: Tokenizer, length: int) -> _Inputs:
    source = components.data.build(components.files)
    return {"source": source, "tokenizer": tokenizer, "pack_length": _pack_length(components, length)}


def _pack_length(components: Components, length: int) -> int | None:
    return None if components.manifest.train.pack else length


def _given_path(components: Components, name: str) -> Path:
    """Return the path of `train.prepared`: relative to the manifest, or as it is if an override set it."""
    if components.manifest.source.is_overridden(("train", "prepared")):
        return Path(name)
    return components.files.path(name, field="train.prepared")


def _workers(components: Components, number: int) -> Workers:
    return Workers(number, partial(components.tokenizer.build, components.files))

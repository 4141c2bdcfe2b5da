"""Shell completion of arguments. Nothing here imports torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator


def is_completing() -> bool:
    """Return whether the shell has started this process to complete a line: options are parsed, but no command runs."""
    return "_JITKIT_COMPLETE" in os.environ  # from the shell's script, as typer names it


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of the zoo with their summaries. The shell adds the names of files."""
    from jitkit.discovery import create_plugin_manager
    from jitkit.manifest.source import ManifestSource
    from jitkit.zoo.index import zoo_index

    paths = zoo_index(create_plugin_manager(), "")
    names = [name for name in paths if name.startswith(incomplete)]
    return [(name, str(ManifestSource.read(paths[name]).parse().get("summary", ""))) for name in names]


def complete_metric(incomplete: str) -> list[tuple[str, str]]:
    """Return the names of metrics with their summaries."""
    return _starting(incomplete, [*_components("metrics"), ("all", "every metric")])


def complete_codec(incomplete: str) -> list[tuple[str, str]]:
    """Return the names of codecs, and the ids of the zoo."""
    return _starting(incomplete, _components("codec")) + complete_model(incomplete)


def complete_kind(incomplete: str) -> list[str]:
    """Return the kinds of components."""
    from jitkit.kinds import KIND_OF_WORD

    return [word for word in KIND_OF_WORD if word.startswith(incomplete)]


def complete_section(incomplete: str) -> list[str]:
    """Return the sections of a benchmark."""
    from jitkit.bench import SECTIONS

    return [name for name in SECTIONS if name.startswith(incomplete)]


def complete_key(incomplete: str) -> list[tuple[str, str]]:
    """Return the keys of manifests ("train.lr=") with what they mean."""
    return _starting(incomplete, manifest_keys())


def manifest_keys() -> Iterator[tuple[str, str]]:
    """Yield each key of manifests, with "=" behind it, and what it means."""
    from jitkit.discovery import Registry, create_plugin_manager
    from jitkit.discovery.descriptions import describe
    from jitkit.kinds import KIND_OF_TABLE
    from jitkit.manifest.schema import Manifest

    registry = Registry(create_plugin_manager())
    for table, field in Manifest.model_fields.items():
        own = getattr(field.annotation, "model_fields", {})
        yield from ((f"{table}.{key}=", one.description or "") for key, one in own.items())
        if table in KIND_OF_TABLE:
            for component in describe(registry, table):
                fields = component.properties.items()
                yield from ((f"{table}.{key}=", one.get("description", "")) for key, one in fields)


def _components(table: str) -> list[tuple[str, str]]:
    from jitkit.discovery import Registry, create_plugin_manager
    from jitkit.discovery.descriptions import describe

    return [(one.name, one.summary) for one in describe(Registry(create_plugin_manager()), table)]


def _starting(incomplete: str, found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the candidates that start with `incomplete`, without duplicates."""
    return [(name, meaning) for name, meaning in dict(found).items() if name.startswith(incomplete)]

"""Find the codec to inspect: by its own name, or as part of a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jitkit.assembly import working_schedule
from jitkit.codecs.report import CodecReport, inspect_codec
from jitkit.component import Component
from jitkit.discovery import Registry
from jitkit.errors import ManifestError, did_you_mean, shown
from jitkit.files import Files
from jitkit.manifest.reader import override
from jitkit.manifest.source import ManifestSource
from jitkit.manifest.validation import validate
from jitkit.protocols import AnyNoiseSchedule, CodecComponent
from jitkit.recipe import open_recipe
from jitkit.zoo.index import find_manifest, zoo_index

DEFAULT_SIZES = {"vocab_size": 16384, "image_size": 64, "patch_size": 4}  # without a manifest


@dataclass(frozen=True)
class CodecTarget:
    """A codec and a schedule before they are built, with the sizes to build them for."""

    name: str
    codec: CodecComponent
    schedule: AnyNoiseSchedule
    sizes: Mapping[str, int]
    files: Files

    def inspect(self, *, num_tokens: int, seed: int) -> CodecReport:
        """Build and measure the codec. Raises ManifestError if it cannot be built for these sizes."""
        try:
            codec = self.codec.build(**self.sizes, files=self.files)
        except ManifestError as error:
            problem = error.problems[0]
            field = f"codec.{problem.field}" if problem.field else "codec"
            raise ManifestError(problems=[replace(problem, file=self.name, field=field)]) from error
        return inspect_codec(
            self.name,
            codec,
            working_schedule(self.schedule, codec),
            patch_size=self.sizes["patch_size"],
            settings=_settings(self.codec),
            schedule_settings=_settings(self.schedule),
            num_tokens=num_tokens,
            seed=seed,
        )


def find_codec_target(
    name: str, registry: Registry, overrides: Sequence[str] = (), sizes: Mapping[str, int] | None = None
) -> CodecTarget:
    """Return the codec with this name, or that of a zoo id or manifest path. `sizes` replace its default sizes.

    `overrides` are as in a manifest ("codec.numbers=24"). Raises ManifestError if there is no such codec or manifest.
    """
    codecs = registry.catalog("codec").names()
    target = _codec(name, registry, overrides) if name in codecs else _manifest(name, registry, overrides)
    return replace(target, sizes={**target.sizes, **(sizes or {})})


def _codec(name: str, registry: Registry, overrides: Sequence[str]) -> CodecTarget:
    """Return a codec by its name, with the default schedule."""
    default = registry.first_with("schedule", "is_default")
    document: dict[str, Any] = {"codec": {"use": name}, "schedule": {"use": default.name if default else ""}}
    keys = frozenset(override(document, text) for text in overrides)
    if unknown := sorted(document.keys() - {"codec", "schedule"}):
        raise ManifestError(f"table {shown(unknown[0])}", "codec or schedule", file="--set")
    source = ManifestSource(f"codec {name}", "", keys)

    def component(table: str) -> Any:
        options = dict(document[table])
        return validate(registry.component(table, options.pop("use")), options, source, (table,))

    given = frozenset(value for value in document["codec"].values() if isinstance(value, str))
    files = Files(Path(), allowed=given)
    return CodecTarget(name, component("codec"), component("schedule"), DEFAULT_SIZES, files)


def _manifest(name: str, registry: Registry, overrides: Sequence[str]) -> CodecTarget:
    """Return the codec, schedule and sizes of a manifest."""
    try:
        find_manifest(name, registry.manager)
    except ManifestError as error:
        names = [*registry.catalog("codec").names(), *zoo_index(registry.manager)]
        found, expected = "no codec, no zoo id and no file", f"one of {', '.join(names)}, or a path"
        raise ManifestError(found, expected, file=name, hint=did_you_mean(name, names)) from error
    components = open_recipe(name, overrides=overrides, manager=registry.manager)
    sizes = {
        "vocab_size": components.tokenizer.build(components.files).vocab_size,
        "image_size": components.backbone.image_size,
        "patch_size": components.backbone.patch_size,
    }
    return CodecTarget(name, components.codec, components.schedule, sizes, components.files)


def _settings(component: object) -> dict[str, Any]:
    assert isinstance(component, Component)
    return {"use": component.name, **component.model_dump(mode="json")}

"""A manifest and the plugged-in parts become a pipeline: the only place where names become objects.

Parse, then resolve (each table is validated by the component it names), then assemble (the parts are built, and checked
together).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch

from jitkit import protocols
from jitkit.component import Component
from jitkit.diffusion.conditioning import network_inputs
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.distillation import check_teacher
from jitkit.diffusion.guidance import check_guidance
from jitkit.discovery.registry import Registry
from jitkit.errors import ManifestError, PluginError, Problem, shown
from jitkit.files import Files
from jitkit.kinds import KIND_OF_TABLE
from jitkit.manifest.problems import validate
from jitkit.manifest.schema import Manifest, Use
from jitkit.pipeline import Pipeline


@dataclass(frozen=True)
class Components:
    """The settings of every part, validated; `manifest` is the resolved one, with every default written out."""

    manifest: Manifest
    files: Files
    data: protocols.DataSourceComponent
    tokenizer: protocols.TokenizerComponent
    codec: protocols.CodecComponent
    backbone: protocols.Backbone
    schedule: protocols.AnyNoiseSchedule
    objective: protocols.Objective
    sampler: protocols.Sampler


TABLES = ("data", "tokenizer", "codec", "backbone", "schedule", "objective", "sampler")


def resolve(manifest: Manifest, registry: Registry, files: Files) -> Components:
    """Return the components that a manifest names.

    Raises ManifestError for unknown names and wrong options (every problem at once), PluginError where a plugin that
    failed to load may have been the home of an unknown name.
    """
    parts: dict[str, Component] = {}
    problems: list[Problem] = []
    for table in TABLES:
        try:
            parts[table] = _component(manifest, table, registry)
        except ManifestError as error:
            problems += error.problems
    for table, names in (("metrics", manifest.eval.metrics), ("trackers", manifest.train.trackers)):
        owner = "eval" if table == "metrics" else "train"
        for name in names:
            if registry.catalog(table).find(name) is None:
                unknown = registry.catalog(table).unknown(name)
                problems.append(manifest.source.problem((owner, table), unknown.found, unknown.expected, unknown.hint))
    if problems:
        raise ManifestError(problems=problems)
    spelled_out = {table: Use(use=part.name, **part.model_dump(mode="json")) for table, part in parts.items()}
    resolved = manifest.model_copy(update=spelled_out)
    return Components(resolved, files, **cast(dict[str, Any], parts))


def _component(manifest: Manifest, table: str, registry: Registry) -> Component:
    use: Use = getattr(manifest, table)
    member = registry.catalog(table).find(use.use)
    if member is None:
        unknown = registry.catalog(table).unknown(use.use)
        problem = manifest.source.problem((table, "use"), unknown.found, unknown.expected, unknown.hint)
        broken = [failure.error().problems[0] for failure in registry.manager.failures]
        raise PluginError(problems=[problem, *broken]) if broken else ManifestError(problems=[problem])
    component = validate(member, use.options, manifest.source, (table,))
    expected: type = protocols.COMPONENT_PROTOCOLS[table]
    if not isinstance(component, expected):
        raise PluginError(
            f"{KIND_OF_TABLE[table].name} {shown(member.name)} without what its protocol asks for",
            f"jitkit.protocols.{expected.__name__}",
            file=f"plugin {registry.catalog(table).plugin_of(member.name)}",
            hint=f"jitkit plugins check {member.name} says more.",
        )
    return component


def assemble(components: Components, *, device: str | torch.device = "cpu") -> Pipeline:
    """Return the working pipeline: tokenizer, codec and a newly initialised network, checked together.

    The network's weights follow `train.seed` (torch's global generator is seeded with it). Raises ManifestError when the
    parts do not fit each other.
    """
    manifest, backbone, objective = components.manifest, components.backbone, components.objective
    tokenizer = components.tokenizer.build(components.files)
    with _placed(manifest, "codec"):
        codec = build_codec(components, tokenizer)
    with _placed(manifest, "backbone"):
        backbone.check(codec)
    with _placed(manifest, "objective"):
        objective.check(codec)
    with _placed(manifest, "guidance"):
        check_guidance(manifest.guidance, objective)
    schedule = working_schedule(components.schedule, codec)
    with _placed(manifest, "teacher"):
        check_teacher(manifest.teacher, components.sampler, schedule)
    torch.manual_seed(manifest.train.seed)
    with torch.device(device):
        network = new_network(components, codec)
    denoiser = Denoiser(network, schedule, objective, codec, manifest.guidance)
    bound = backbone.activation_bound(network)
    return Pipeline(manifest, tokenizer, codec, denoiser, components.sampler, torch.device(device), bound)


def new_network(components: Components, codec: protocols.Codec) -> torch.nn.Module:
    """Return a newly initialised network, with the inputs and outputs that the objective asks for."""
    objective = components.objective
    inputs = network_inputs(objective, components.manifest.guidance)
    return components.backbone.build(inputs, objective.channels(codec))


def build_codec(components: Components, tokenizer: protocols.Tokenizer) -> protocols.Codec:
    """Return the codec of a manifest. Raises ManifestError for a codebook that was made for another tokenizer."""
    backbone = components.backbone
    codec = components.codec.build(tokenizer.vocab_size, backbone.image_size, backbone.patch_size, components.files)
    if codec.made_for not in ("", tokenizer.fingerprint):
        raise ManifestError(
            f"codewords made for tokenizer {shown(codec.made_for[:16])}",
            f"some made for this one, {tokenizer.fingerprint[:16]}",
            field="file",
            hint="jitkit codec fit makes them.",
        )
    return codec


def working_schedule(component: protocols.AnyNoiseSchedule, codec: protocols.Codec) -> protocols.NoiseSchedule:
    """Return the schedule that a component is, or that it builds for a codec."""
    return component.build(codec) if isinstance(component, protocols.NoiseScheduleComponent) else component


@contextmanager
def _placed(manifest: Manifest, table: str) -> Iterator[None]:
    """Say of a ManifestError in which table of the manifest it arose."""
    try:
        yield
    except ManifestError as error:
        problem = error.problems[0]
        location = (table, problem.field) if problem.field else (table,)
        placed = manifest.source.problem(location, problem.found, problem.expected, problem.hint)
        raise ManifestError(problems=[placed]) from error

"""Turning a manifest into a pipeline, the only place where component names become objects.

`resolve` validates each table with the component that it names. `assemble` builds the components and checks that they fit
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from jitkit.discovery.registry import Catalog, Registry
from jitkit.errors import ManifestError, PluginError, Problem, shown
from jitkit.execution.precision import require_default_float32
from jitkit.execution.randomness import keep_global_generators, seed_global_generators
from jitkit.files import Files
from jitkit.manifest.schema import Manifest, Use
from jitkit.manifest.source import Location
from jitkit.manifest.validation import validate
from jitkit.pipeline import Pipeline


@dataclass(frozen=True)
class Components:
    """The validated components of a manifest. `manifest` is the resolved one, which contains all defaults."""

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

    Raises ManifestError for unknown names and invalid options, with every problem. Raises PluginError for an unknown name
    if some plugins failed to load, since one of them may provide it.
    """
    components: dict[str, Component] = {}
    problems: list[Problem] = []
    for table in TABLES:
        try:
            components[table] = _component(manifest, table, registry)
        except ManifestError as error:
            problems += error.problems
    metrics = registry.catalog("metrics")
    unknown = (name for name in manifest.eval.metrics if metrics.find(name) is None)
    problems += [_unknown(manifest, metrics, name, ("eval", "metrics")) for name in unknown]
    try:
        trackers_of(manifest, registry)
    except ManifestError as error:
        problems += error.problems
    if problems:
        raise ManifestError(problems=problems)
    with_defaults = {table: Use(use=one.name, **one.model_dump(mode="json")) for table, one in components.items()}
    return Components(manifest.model_copy(update=with_defaults), files, **cast(dict[str, Any], components))


def trackers_of(manifest: Manifest, registry: Registry) -> list[protocols.TrackerComponent]:
    """Return the trackers that a manifest names, each once. Raises ManifestError with every problem."""
    catalog, location = registry.catalog("trackers"), ("train", "trackers")
    components: dict[str, Component] = {}
    problems: list[Problem] = []
    for entry in manifest.train.trackers:
        name, options = (entry, {}) if isinstance(entry, str) else (entry.use, entry.options)
        member = catalog.find(name)
        if member is None:
            problems.append(_unknown(manifest, catalog, name, location))
            continue
        try:
            components[name] = validate(member, options, manifest.source, location)
        except ManifestError as error:
            problems += error.problems
    if problems:
        raise ManifestError(problems=problems)
    return [cast(protocols.TrackerComponent, component) for component in components.values()]


def _component(manifest: Manifest, table: str, registry: Registry) -> Component:
    use: Use = getattr(manifest, table)
    catalog = registry.catalog(table)
    member = catalog.find(use.use)
    if member is None:
        problem, failed = _unknown(manifest, catalog, use.use, (table, "use")), registry.manager.load_problems()
        raise PluginError(problems=[problem, *failed]) if failed else ManifestError(problems=[problem])
    component = validate(member, use.options, manifest.source, (table,))
    expected: type = protocols.COMPONENT_PROTOCOLS[table]
    if not isinstance(component, expected):
        found = f"{catalog.kind.name} {shown(member.name)}, which lacks members of its protocol"
        plugin, hint = catalog.plugin_of(member.name), f"Run jitkit plugins check {member.name} for details."
        raise PluginError(found, f"jitkit.protocols.{expected.__name__}", file=f"plugin {plugin}", hint=hint)
    return component


def _unknown(manifest: Manifest, catalog: Catalog, name: str, location: Location) -> Problem:
    problem = catalog.unknown(name)
    return manifest.source.problem(location, problem.found, problem.expected, problem.hint)


def assemble(
    components: Components,
    *,
    device: str | torch.device = "cpu",
    require: Callable[[torch.nn.Module], None] | None = None,
    trained: bool = False,
) -> Pipeline:
    """Return the pipeline of a recipe, with a newly initialized network.

    `require` receives the network on `meta` and may raise an error before memory is allocated. For a model that is
    already `trained`, `[teacher]` is not checked, so it can be sampled in any number of steps and with any sampler.

    `train.seed` determines the weights; torch's global generators keep their state. Raises ManifestError if the components
    do not fit together, and UsageError if torch's default dtype is not float32.
    """
    require_default_float32()
    device = torch.device(device)
    manifest, backbone, objective = components.manifest, components.backbone, components.objective
    tokenizer = components.tokenizer.build(components.files)
    with _errors_in(manifest, "codec"):
        codec = build_codec(components, tokenizer)
    with _errors_in(manifest, "backbone"):
        backbone.check(codec)
    with _errors_in(manifest, "objective"):
        objective.check(codec)
    with _errors_in(manifest, "guidance"):
        check_guidance(manifest.guidance, objective)
    schedule = working_schedule(components.schedule, codec)
    if not trained:
        with _errors_in(manifest, "teacher"):
            check_teacher(manifest.teacher, components.sampler, schedule)
    if require is not None:
        with torch.device("meta"):
            require(new_network(components, codec))
    with keep_global_generators(device):
        network = initialized_network(components, codec, device)
    denoiser = Denoiser(network, schedule, objective, codec, manifest.guidance)
    bound = backbone.activation_bound(network)
    return Pipeline(manifest, tokenizer, codec, denoiser, components.sampler, device, bound)


def initialized_network(components: Components, codec: protocols.Codec, device: torch.device) -> torch.nn.Module:
    """Seed torch's global generators with `train.seed`, and return a newly initialized network on `device`."""
    seed_global_generators(components.manifest.train.seed, device)
    with device:
        return new_network(components, codec)


def new_network(components: Components, codec: protocols.Codec) -> torch.nn.Module:
    """Return a newly initialized network with the inputs and outputs that the objective requires."""
    objective = components.objective
    inputs = network_inputs(objective, components.manifest.guidance)
    return components.backbone.build(inputs, objective.channels(codec))


def build_codec(components: Components, tokenizer: protocols.Tokenizer) -> protocols.Codec:
    """Return the codec of a recipe. Raises ManifestError if its codebook was made for another tokenizer."""
    backbone = components.backbone
    codec = components.codec.build(tokenizer.vocab_size, backbone.image_size, backbone.patch_size, components.files)
    if codec.tokenizer_fingerprint not in ("", tokenizer.fingerprint):
        found = f"codewords for tokenizer {shown(codec.tokenizer_fingerprint[:16])}"
        expected = f"codewords for this tokenizer, {tokenizer.fingerprint[:16]}"
        raise ManifestError(found, expected, field="file", hint="Make them with jitkit codec fit.")
    return codec


def working_schedule(component: protocols.AnyNoiseSchedule, codec: protocols.Codec) -> protocols.NoiseSchedule:
    """Return the schedule itself, or the one that the component builds for a codec."""
    return component.build(codec) if isinstance(component, protocols.NoiseScheduleComponent) else component


@contextmanager
def _errors_in(manifest: Manifest, table: str) -> Iterator[None]:
    """Add the location of a table to a ManifestError raised inside the block."""
    try:
        yield
    except ManifestError as error:
        problem = error.problems[0]
        location = (table, problem.field) if problem.field else (table,)
        located = manifest.source.problem(location, problem.found, problem.expected, problem.hint)
        raise ManifestError(problems=[located]) from error

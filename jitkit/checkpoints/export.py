"""Exporting a model as a folder to share: its weights, and everything needed to use them."""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path

from safetensors.torch import save

from jitkit.checkpoints.format import Checkpoint
from jitkit.checkpoints.open import OpenedModel
from jitkit.checkpoints.weights import MANIFEST, SCHEDULE_PREFIX
from jitkit.errors import counted, visible
from jitkit.files import member_path, require_members
from jitkit.filesystem import is_file, read_bytes
from jitkit.manifest.schema import Manifest, Weights
from jitkit.manifest.writer import manifest_to_toml
from jitkit.pipeline import Pipeline
from jitkit.protocols import LearnedSchedule
from jitkit.storage.atomic import make_folder, write_file
from jitkit.storage.atomic_folder import atomic_folder, undo_unfinished
from jitkit.storage.file_content import read_file

WEIGHTS, README, SUMS = "model.safetensors", "README.md", "SHA256SUMS"  # of an exported folder, besides its manifest
MAX_SUMS = 2**20  # bytes


def export_model(model: OpenedModel, folder: Path, *, bf16: bool = False) -> dict[str, str]:
    """Write a model into `folder` and return the SHA-256 of each file by name.

    The weights are the first averaged ones, rounded to half the size with `bf16`. `sha256sum -c SHA256SUMS` verifies the
    folder. The model is built and checked before anything is written, and a kill leaves no part of it. An earlier export is
    replaced; Raises UsageError if a new file would replace another file, or an exported one that was changed since.
    """
    contents = exported_files(model, model.pipeline(), bf16=bf16)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    contents[SUMS] = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    undo_unfinished(folder)
    with atomic_folder(folder, last=MANIFEST, replaces=unchanged_export(folder)) as new:
        for name, content in contents.items():
            path = member_path(new, name, field="tokenizer")
            make_folder(path.parent)
            write_file(path, content)
    return digests


def unchanged_export(folder: Path) -> list[str]:
    """Return the files that an earlier export wrote into `folder` and that still match its SHA256SUMS."""
    if not is_file(folder / SUMS):
        return []
    lines = read_bytes(folder / SUMS, limit=MAX_SUMS).decode(errors="replace").splitlines()
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if not {WEIGHTS, MANIFEST, README} <= listed.keys():
        return []
    paths = {name: member_path(folder, name) for name in listed}
    unchanged = [name for name, path in paths.items() if is_file(path) and read_file(path).sha256 == listed[name]]
    return [SUMS, *unchanged]


def exported_files(model: OpenedModel, pipeline: Pipeline, *, bf16: bool = False) -> dict[str, bytes]:
    """Return the files of an exported folder, except SHA256SUMS; `pipeline` is the model, possibly with overrides.

    Raises RefusedError if the tokenizer or codec has a file with an unsafe name, or with the name of another file.
    """
    embedded = pipeline.files()
    require_members(embedded, taken=(WEIGHTS, MANIFEST, README, SUMS), file=model.path, field="tokenizer")
    network = {
        name: (value.bfloat16() if bf16 and value.is_floating_point() else value).contiguous()
        for name, value in pipeline.network.state_dict().items()
    }
    schedule = pipeline.denoiser.schedule
    learned = schedule.state_dict() if isinstance(schedule, LearnedSchedule) else {}
    weights = save(network | {SCHEDULE_PREFIX + name: value for name, value in learned.items()})
    recipe = model.components().manifest
    facts = {"num_parameters": pipeline.num_parameters, "weights": _weights(weights, model.checkpoint, recipe)}
    manifest = recipe.model_copy(update=facts)
    return {
        WEIGHTS: weights,
        MANIFEST: manifest_to_toml(manifest).encode(),
        README: model_card(manifest, model.checkpoint, pipeline, model.path.name).encode(errors="replace"),
        **embedded,
    }


def model_card(manifest: Manifest, checkpoint: Checkpoint, pipeline: Pipeline, source: str) -> str:
    """Return the README of an exported model: facts about its training run."""
    codec, settings = pipeline.codec, manifest.train
    averages = ", ".join(checkpoint.ema_state_dict)
    facts = {
        "parameters": f"{pipeline.num_parameters:,}",
        "image": f"{codec.image_size} x {counted(codec.image_size, 'pixel')}, {counted(codec.capacity, 'token')},"
        f" {counted(codec.pixels_per_token, 'pixel')} per token",
        "tokenizer": f"{manifest.tokenizer.use}, {pipeline.tokenizer.vocab_size:,} ids",
        "codec": f"{manifest.codec.use}, margin {codec.margin:.4g}",
        "weights": f"average of decay {averages.partition(',')[0]}" if averages else "raw, no average",
        "trained on": _trained_on(checkpoint) or "unknown",
        "steps": f"{checkpoint.step:,} of {counted(settings.batch_size, 'image')} ({settings.optimizer}, lr {settings.lr:g},"
        f" {checkpoint.execution.get('precision', 'unknown precision')})",
        "validation loss": "not measured" if checkpoint.loss is None else f"{checkpoint.loss:.6f}",
        "made with": ", ".join(f"{name} {version}" for name, version in sorted(checkpoint.versions.items())),
        "exported from": source,
    }
    rows = "\n".join(f"| {name} | {_plain(value)} |" for name, value in facts.items())
    return (
        f"# {manifest.id}\n\n{_plain(manifest.summary)}\n\n| | |\n|---|---|\n{rows}\n\n"
        "A diffusion language model in pixel space, made with jitkit. Use it with `jitkit generate FOLDER`, or in Python:\n\n"
        '```python\nmodel = jitkit.load("FOLDER")  # this folder\nprint(model.generate(1)[0])\n```\n\n'
        f"`{MANIFEST}` is the complete recipe. `{WEIGHTS}` holds the weights of the network; `jitkit.load_pretrained_jit`\n"
        "returns the network alone.\n"
        "`sha256sum -c SHA256SUMS` verifies the files.\n"
    )


def _plain(text: str) -> str:
    """Return Markdown that shows a text literally, because names and summaries come from files."""
    return re.sub(r"([\\`*_\[\]|!#~])", r"\\\1", html.escape(visible(text), quote=False))


def _trained_on(checkpoint: Checkpoint) -> str | None:
    """Describe what a model was trained on: its text or teacher, and the model that its first weights came from."""
    data = checkpoint.data
    seen = f"sampling trajectories of {data['teacher']}" if "teacher" in data else data.get("origin")
    return f"{seen}, after {data['initial']}" if "initial" in data else seen


def _weights(content: bytes, checkpoint: Checkpoint, recipe: Manifest) -> Weights:
    return Weights(
        file=WEIGHTS,
        sha256=hashlib.sha256(content).hexdigest(),
        trained_on=_trained_on(checkpoint),
        steps=checkpoint.step or None,
        command=recipe.weights.command,
        hardware=f"{checkpoint.execution.get('device', 'unknown device')}, {counted(checkpoint.threads, 'thread')}",
        metrics={} if checkpoint.loss is None else {"validation.loss": checkpoint.loss},
    )

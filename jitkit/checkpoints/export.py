"""A checkpoint as a folder to share: weights without the rest of training, and what is needed to use them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from jitkit.checkpoints.format import Checkpoint, components_of, load_checkpoint, pipeline_of, schedule_tensors
from jitkit.discovery.loader import create_plugin_manager
from jitkit.manifest.schema import Manifest, Weights
from jitkit.manifest.writer import manifest_to_toml
from jitkit.pipeline import Pipeline
from jitkit.storage.atomic import atomic_write, cannot_write

WEIGHTS = "model.safetensors"


def export_checkpoint(path: Path, folder: Path, *, bf16: bool = False) -> dict[str, str]:
    """Write the model of a checkpoint into `folder`; return the SHA-256 of each file by its name.

    `model.safetensors` holds the first averaged weights, with `bf16` rounded to 8 bits and half as large, and what the
    schedule learned; `manifest.toml` names it in `[weights]` with its hash, the files of tokenizer and codec lie where the
    manifest expects them, `README.md` is the model card, and `sha256sum -c SHA256SUMS` checks the folder. Everything is
    built and checked once before anything is written.
    """
    checkpoint, manager = load_checkpoint(path), create_plugin_manager()
    pipeline = pipeline_of(checkpoint, path, manager=manager)
    recipe = components_of(checkpoint, path, manager).manifest
    contents = exported_files(checkpoint, pipeline, recipe, source=path.name, bf16=bf16)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    contents["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    for name, content in contents.items():
        _write(folder / name, content)
    return digests


def exported_files(
    checkpoint: Checkpoint, pipeline: Pipeline, recipe: Manifest, *, source: str, bf16: bool = False
) -> dict[str, bytes]:
    """Return what `export_checkpoint` writes, by name, without the sums: the model of a checkpoint, and its recipe."""
    network = {name: _stored(value, bf16) for name, value in pipeline.network.state_dict().items()}
    weights = save(network | schedule_tensors(pipeline))
    manifest = recipe.model_copy(update={"weights": _weights(weights, checkpoint, recipe)})
    return {
        WEIGHTS: weights,
        "manifest.toml": manifest_to_toml(manifest).encode(),
        "README.md": model_card(manifest, checkpoint, pipeline, source).encode(),
        **pipeline.files(),
    }


def model_card(manifest: Manifest, checkpoint: Checkpoint, pipeline: Pipeline, source: str) -> str:
    """Return the README of an exported model: facts of its run, nothing else."""
    num_parameters = sum(parameter.numel() for parameter in pipeline.network.parameters())
    codec, settings = pipeline.codec, manifest.train
    averages = ", ".join(checkpoint.ema_state_dict)
    facts = {
        "parameters": f"{num_parameters:,}",
        "image": f"{codec.image_size} x {codec.image_size} pixels, {codec.capacity} tokens,"
        f" {codec.pixels_per_token} pixels a token",
        "tokenizer": f"{manifest.tokenizer.use}, {pipeline.tokenizer.vocab_size:,} ids",
        "codec": f"{manifest.codec.use}, margin {codec.margin:.4g}",
        "weights": f"average of decay {averages.partition(',')[0]}" if averages else "as trained, no average",
        "trained on": _trained_on(checkpoint) or "unknown",
        "steps": f"{checkpoint.step:,} of {settings.batch_size} images ({settings.optimizer}, lr {settings.lr:g},"
        f" {checkpoint.execution.get('precision', 'unknown precision')})",
        "validation loss": "not measured" if checkpoint.loss is None else f"{checkpoint.loss:.6f}",
        "made with": ", ".join(f"{name} {version}" for name, version in sorted(checkpoint.versions.items())),
        "exported from": source,
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return (
        f"# {manifest.id}\n\n{manifest.summary}\n\n| | |\n|---|---|\n{rows}\n\n"
        "A diffusion language model in pixel space, made with jitkit. `manifest.toml` is the whole recipe;\n"
        f"`{WEIGHTS}` holds the weights of its network (`jitkit.load_pretrained_jit` reads them);\n"
        "`sha256sum -c SHA256SUMS` checks the files.\n"
    )


def _trained_on(checkpoint: Checkpoint) -> str | None:
    """Return in words what a model has seen: its text, or its teacher, and the model whose weights it began with."""
    data = checkpoint.data
    seen = f"walks of {data['teacher']}" if "teacher" in data else data.get("origin")
    return f"{seen}, after {data['initial']}" if "initial" in data else seen


def _stored(value: Tensor, bf16: bool) -> Tensor:
    return (value.bfloat16() if bf16 and value.is_floating_point() else value).contiguous()


def _weights(content: bytes, checkpoint: Checkpoint, recipe: Manifest) -> Weights:
    return Weights(
        file=WEIGHTS,
        sha256=hashlib.sha256(content).hexdigest(),
        trained_on=_trained_on(checkpoint),
        steps=checkpoint.step or None,
        command=recipe.weights.command,
        hardware=f"{checkpoint.execution.get('device', 'unknown device')}, {checkpoint.threads} threads",
        metrics={} if checkpoint.loss is None else {"validation.loss": checkpoint.loss},
    )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    with atomic_write(path, needs=len(content)) as file:
        file.write(content)

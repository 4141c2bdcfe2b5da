"""The tiny manifest that all tests share: a complete model with a few thousand parameters."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from jitkit.assembly import Components, resolve
from jitkit.checkpoints.format import Checkpoint, versions_in_use
from jitkit.diffusion.denoiser import Denoiser
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.evaluation.validation import validation_losses
from jitkit.execution.config import ExecutionConfig
from jitkit.files import Files
from jitkit.manifest.reader import parse_manifest
from jitkit.manifest.writer import manifest_to_toml
from jitkit.pipeline import Pipeline

TINY = """
schema_version = 1
id = "tiny"
summary = "A model of a few thousand parameters"

[tokenizer]
use = "bytes"

[codec]
use = "code"
numbers = 48

[backbone]
use = "jit"
image_size = 16
patch_size = 4
embed_dim = 32
depth = 1
num_heads = 2

[schedule]
use = "flow"

[objective]
use = "flow"
self_conditioning = 0.5
known = 0.5

[sampler]
use = "euler"
steps = 3

[data]
use = "python-docs"

[train]
max_steps = 2
"""


def tiny_toml(*overrides: str) -> str:
    """Return the tiny manifest with overrides applied, as TOML."""
    return manifest_to_toml(parse_manifest(TINY, "tiny.toml", overrides))


def resolved(*overrides: str, text: str = TINY, folder: Path = Path()) -> Components:
    """Return the components of the manifest `text` with overrides applied."""
    return resolve(parse_manifest(text, "tiny.toml", overrides), Registry(create_plugin_manager()), Files(folder))


def checkpoint_of(pipeline: Pipeline) -> Checkpoint:
    """Return a checkpoint of `pipeline`; its 12 held-out windows repeat one sentence."""
    words = torch.tensor(list(b"to be or not to be that is the question "))
    windows = words.repeat(20)[: 12 * pipeline.codec.capacity].reshape(12, -1)
    return Checkpoint(
        model_state_dict=pipeline.network.state_dict(),
        ema_state_dict={},
        optimizer_state_dict=None,
        epoch=1,
        step=2,
        loss=1.0,
        best_loss=1.0,
        rng={"cpu": torch.get_rng_state()},
        manifest=manifest_to_toml(pipeline.manifest),
        tokenizer=pipeline.files(),
        validation_tokens=windows,
        data={"fingerprint": "0", "origin": "a test"},
        threads=1,
        execution=ExecutionConfig(torch.device("cpu")).conditions(),
        versions=versions_in_use(create_plugin_manager()),
    )


def validation_loss(denoiser: Denoiser, tokens: Tensor, *, seed: int, batch_size: int) -> float:
    """Return the mean of `validation_losses`."""
    losses = [loss for batch in validation_losses(denoiser, tokens, seed=seed, batch_size=batch_size) for loss in batch]
    return math.fsum(losses) / len(losses)

"""Held-out windows of text that the checkpoint did not bring along."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from jitkit.assembly import resolve
from jitkit.data.given import with_data
from jitkit.data.shards import prepare
from jitkit.data.windows import Windows
from jitkit.discovery.registry import Registry
from jitkit.pipeline import Pipeline


def held_out_windows(path: Path, pipeline: Pipeline, registry: Registry) -> Tensor:
    """Return windows [M, L] int64 of the text at `path`, at most `train.validation_windows`, evenly spaced.

    They are of its *validation* split, so that text the model was trained on stays out when `path` is that very text.
    Raises InputError for text that cannot be read or fills no window.
    """
    manifest, files = with_data(pipeline.manifest, Path(), path)
    train, length = manifest.train, pipeline.codec.capacity
    source = resolve(manifest, registry, files).data.build(files)
    prepared = prepare(source, pipeline.tokenizer, pack_length=None if train.pack else length)
    windows = Windows(prepared.validation, length)
    num = min(len(windows), train.validation_windows)
    return windows.tokens(torch.linspace(0, len(windows) - 1, num).round().long())

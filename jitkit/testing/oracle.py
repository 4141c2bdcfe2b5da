"""Perfect models without training, whose metrics are known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from jitkit.assembly import Components, assemble, resolve
from jitkit.diffusion.process import levels_at
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.evaluation.context import EvaluationContext
from jitkit.files import Files
from jitkit.manifest.reader import parse_manifest
from jitkit.pipeline import Pipeline
from jitkit.protocols import NoiseSchedule

TINY = """
schema_version = 1
id = "tiny"
summary = "a tiny model"
tokenizer = { use = "bytes" }
codec = { use = "bits" }
backbone = { use = "jit", image_size = 8, patch_size = 4, embed_dim = 16, depth = 1, num_heads = 2 }
schedule = { use = "flow" }
objective = { use = "flow", prediction = "x", known = 0.5 }
sampler = { use = "euler", steps = 4 }
data = { use = "python-docs" }
train = { max_steps = 1 }
"""

TRAINING_TEXT = "the quick brown fox jumps over the lazy dog, and the dog does not mind\n" * 20


class MemorizedImages(nn.Module):
    """The optimal x-predicting network if the data are the images `x` [M, 3, H, W].

    Its output, the posterior mean of the clean image given `z`, is the average of the images, weighted by
    ``exp(-|(z - alpha x) / (sigma noise_scale)|^2 / 2)``.
    """

    def __init__(self, x: Tensor, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.x = nn.Buffer(x)
        self.schedule = schedule

    def forward(self, z: Tensor, t: Tensor, *, x_prev: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Return the posterior mean [B, 3, H, W]."""
        at = levels_at(self.schedule, t)
        sigma = (at.sigma * self.schedule.noise_scale).clamp(min=1e-6)
        squares = ((z[:, None] - at.alpha[:, None] * self.x) / sigma[:, None]).square().flatten(2).sum(-1)  # [B, M]
        return torch.einsum("bm,mchw->bchw", (-squares / 2).softmax(-1), self.x)


@cache
def tiny_pipeline(manifest: str = TINY, overrides: tuple[str, ...] = ()) -> Pipeline:
    """Return the pipeline of a tiny manifest with a newly initialized network."""
    return assemble(_components(manifest, overrides))


def _components(manifest: str, overrides: tuple[str, ...]) -> Components:
    recipe = parse_manifest(manifest, "tiny.toml", overrides)
    return resolve(recipe, Registry(create_plugin_manager()), Files(Path.cwd()))


def oracle_context(
    windows: Tensor,
    *,
    remembered: Tensor | None = None,
    batch_size: int = 4,
    manifest: str = TINY,
    overrides: tuple[str, ...] = (),
) -> EvaluationContext:
    """Return a context whose model has memorized `remembered` [M, L], by default the `windows` [N, L].

    The model is that of `manifest`, with the `overrides` of a command line.
    """
    pipeline = tiny_pipeline(manifest, overrides)
    components = _components(manifest, overrides)
    x = pipeline.codec.encode(windows if remembered is None else remembered)
    denoiser = replace(pipeline.denoiser, network=MemorizedImages(x, pipeline.denoiser.schedule))
    return EvaluationContext(
        replace(pipeline, denoiser=denoiser),
        windows,
        seed=0,
        times=(0.3, 0.8),
        num_windows=len(windows),
        batch_size=batch_size,
        documents=lambda: [TRAINING_TEXT],
        source=lambda: components.data.build(components.files),
    )


def tiny_windows(num: int = 6) -> Tensor:
    """Return `num` different windows [num, L] int64 of ids that the tiny pipeline decodes to letters."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(97, 123, (num, tiny_pipeline().codec.capacity), generator=generator)

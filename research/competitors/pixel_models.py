"""Competitors that denoise images: the manifest unchanged, and the recipe that jitkit started from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from jitkit.assembly import Components
from jitkit.checkpoints.open import OpenedModel, open_model
from jitkit.pipeline import Pipeline
from jitkit.training.run import Request, train
from jitkit.training.run_folder import RunFolder
from research.competitors.competitor import DEFAULT, Setting, Settings, combine, temperature_settings
from research.competitors.sampling_grid import SamplingGrid
from research.competitors.shared_recipe import SharedRecipe

# Three base-256 digits per pixel, raster order, 16 tokens per patch, plain v-loss.
ORIGINAL = (
    "codec={use='base256', layout='raster'}",
    "schedule={use='flow', density='logit-normal', mean=0.0, std=0.8}",
    "objective={use='flow', prediction='x', loss='v'}",
    "sampler={use='sde', steps=64}",
    "guidance={}",
    "backbone.rope='grid'",
    "backbone.time='input'",
    "backbone.patch_size=4",
)


@dataclass(frozen=True)
class PixelCompetitor:
    """A jitkit model: the manifest, with overrides for the original recipe."""

    name: str
    recipe: SharedRecipe
    overrides: tuple[str, ...] = ()

    def sample_settings(self, grid: SamplingGrid) -> Settings:
        """Return every gamma and every additional sampler with every weight of the evidence at every temperature, as far as
        the components have them.
        """
        samplers: Settings = {name: {"sampler": f"{{use='{name}'}}"} for name in grid.samplers}
        steps = self._gammas(grid.gammas) | samplers
        return combine(steps, self._evidence(grid.evidence), self._temperatures(grid.temperatures))

    def infill_settings(self, grid: SamplingGrid) -> Settings:
        """Return every gamma at every temperature, as far as the components have them."""
        return combine(
            self._gammas(grid.infill_gammas), self._evidence(()), self._temperatures(grid.infill_temperatures)
        )

    @cached_property
    def _components(self) -> Components:
        return self.recipe.components(*self.overrides)

    def _gammas(self, gammas: Sequence[float]) -> Settings:
        if not gammas or not hasattr(self._components.sampler, "gamma"):
            return DEFAULT
        return {f"gamma {gamma}": {"sampler.gamma": gamma} for gamma in gammas}

    def _evidence(self, weights: Sequence[float]) -> Settings:
        if not hasattr(self._components.objective, "evidence"):
            return DEFAULT
        if not weights:
            return {"": {"objective.evidence": 1.0}}
        return {f"evidence {weight}": {"objective.evidence": weight} for weight in weights}

    def _temperatures(self, temperatures: Sequence[float]) -> Settings:
        if not hasattr(self._components.objective, "temperature"):
            return DEFAULT
        return temperature_settings("objective.temperature", temperatures)

    def evaluations(self, requested: Sequence[int]) -> Sequence[int]:
        """Return all requested numbers."""
        return requested

    def train(self, folder: Path, seed: int) -> float:
        """Train as `jitkit train --resume auto` does."""
        recipe = self.recipe
        components = recipe.components(*self.overrides, f"train.seed={seed}")
        train(Request(components, recipe.manager, folder, recipe.device, recipe.console, resume="auto"))
        lines = map(json.loads, RunFolder(folder).metrics.read_text(encoding="utf-8").splitlines())
        return float(median(line["seconds"] for line in lines if "grad_norm" in line))

    def load(self, folder: Path, seed: int) -> PixelModel:
        """Return the model after its last step. The best model is not used, since token models have no such choice."""
        model = open_model(RunFolder(folder).checkpoints()[0], self.recipe.manager)
        return PixelModel(model.pipeline(self.recipe.device), model)


@dataclass(frozen=True)
class PixelModel:
    """A pipeline. A setting may change its sampler and objective."""

    pipeline: Pipeline
    model: OpenedModel

    @property
    def network(self) -> nn.Module:
        """The backbone."""
        return self.pipeline.network

    def generate(self, seeds: Sequence[int], evaluations: int, setting: Setting) -> Tensor:
        """Return tokens [B, L], one window per seed."""
        return torch.stack([text.tokens for text in self._with(setting).generate(seeds, steps=evaluations)])

    def _with(self, setting: Setting) -> Pipeline:
        overrides = [f"{key}={value}" for key, value in setting.items()]
        components = self.model.components(overrides)
        denoiser = replace(self.pipeline.denoiser, objective=components.objective)
        return replace(self.pipeline, denoiser=denoiser, sampler=components.sampler)

    @torch.inference_mode()
    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int, setting: Setting) -> Tensor | None:
        """Return `tokens` [B, L] with sampled ones where `hidden` is true, or None if the model takes no known pixels."""
        pipeline = self._with(setting)
        denoiser, codec = pipeline.denoiser, pipeline.codec
        if not denoiser.accepts_known:
            return None
        x_known = codec.encode(tokens.masked_fill(hidden, pipeline.tokenizer.pad_id))
        denoiser = denoiser.with_known_pixels(x_known, codec.pixel_mask(~hidden))
        generator = torch.Generator().manual_seed(0)

        def noise() -> Tensor:
            return torch.randn(x_known.shape, generator=generator).to(x_known.device) * denoiser.schedule.noise_scale

        grid = denoiser.schedule.grid(evaluations)
        return codec.decode(pipeline.sampler.sample(denoiser, noise(), grid, fresh_noise=noise))

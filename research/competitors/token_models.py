"""Competitors that predict tokens: masked diffusion and an autoregressive transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from jitkit.errors import UsageError, shown
from jitkit.storage.atomic import atomic_write
from jitkit.storage.safetensors_file import read_safetensors
from jitkit.storage.weights import load_into
from jitkit_plugins.backbones.jit import JitSettings
from research.competitors.autoregressive import Autoregressive
from research.competitors.competitor import DEFAULT, Setting, Settings, combine, temperature_settings
from research.competitors.masked import Masked
from research.competitors.sampling_grid import SamplingGrid
from research.competitors.shared_recipe import SharedRecipe
from research.competitors.training import fit

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class TokenCompetitor:
    """A model of tokens with the blocks of the manifest's backbone, trained with its `[train]` table."""

    name: str
    recipe: SharedRecipe
    kind: type[Autoregressive] | type[Masked]

    def sample_settings(self, grid: SamplingGrid) -> Settings:
        """Return every temperature, and both orders of masked diffusion."""
        orders: Settings = {order: {"order": order} for order in ("random", "confidence")}
        temperatures = temperature_settings("temperature", grid.temperatures)
        return combine(orders if self.kind is Masked else DEFAULT, temperatures)

    def infill_settings(self, grid: SamplingGrid) -> Settings:
        """Return a single setting: the most probable tokens, most confident first."""
        return {"surest first": {}}

    def evaluations(self, requested: Sequence[int]) -> Sequence[int]:
        """Return all requested numbers, or one evaluation per token for an autoregressive model."""
        return requested if self.kind is Masked else [self.recipe.length]

    def train(self, folder: Path, seed: int) -> float:
        """Train from scratch."""
        recipe, model = self.recipe, self._new_model(seed)
        settings = recipe.components(f"train.seed={seed}").manifest.train
        seconds = fit(model, recipe.text.train, settings, recipe.device, recipe.console)
        with atomic_write(folder / WEIGHTS) as file:
            file.write(save({name: value.contiguous() for name, value in model.state_dict().items()}))
        return seconds

    def load(self, folder: Path, seed: int) -> TokenModel:
        """Return the model with its averaged weights."""
        model, path = self._new_model(seed), folder / WEIGHTS
        load_into(model, read_safetensors(path), file=path)
        return TokenModel(model.eval())

    def _new_model(self, seed: int) -> Autoregressive | Masked:
        backbone = self.recipe.common.backbone
        if not isinstance(backbone, JitSettings):
            raise UsageError(f"backbone {shown(backbone.name)}", "'jit', whose blocks are shared", field="MANIFEST")
        torch.manual_seed(seed)
        with self.recipe.device:
            return self.kind(backbone, self.recipe.tokenizer.vocab_size, self.recipe.length)


@dataclass(frozen=True)
class TokenModel:
    """A trained token model. This class hides the differences between the two kinds."""

    model: Autoregressive | Masked

    @property
    def network(self) -> nn.Module:
        """The trunk. Each call is one evaluation."""
        return self.model.trunk

    def generate(self, seeds: Sequence[int], evaluations: int, setting: Setting) -> Tensor:
        """Return tokens [B, L], one window per seed."""
        if isinstance(self.model, Autoregressive):
            return self.model.generate(seeds, **setting)
        return self.model.generate(seeds, evaluations=evaluations, **setting)

    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int, setting: Setting) -> Tensor | None:
        """Return `tokens` [B, L] with the hidden ones filled in, or None for an autoregressive model."""
        return None if isinstance(self.model, Autoregressive) else self.model.infill(tokens, hidden, evaluations)

"""Who takes part, and what all have in common: one recipe, one text, one tokenizer, one order of windows a seed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import torch
from rich.console import Console
from safetensors.torch import save
from torch import Tensor, nn

from jitkit.assembly import Components
from jitkit.checkpoints.open import OpenedModel, open_model
from jitkit.data.shards import PreparedData
from jitkit.data.windows import Windows
from jitkit.discovery import PluginManager
from jitkit.errors import UsageError, shown
from jitkit.pipeline import Pipeline
from jitkit.protocols import Tokenizer
from jitkit.recipe import open_recipe, prepared_text
from jitkit.storage.atomic import atomic_write
from jitkit.storage.weights import load_into, read_safetensors
from jitkit.training.run_folder import RunFolder
from jitkit.training.setup import Request, train
from jitkit_plugins.backbones.jit import JitSettings
from research.rivals.asked import Asked
from research.rivals.autoregressive import Autoregressive
from research.rivals.masked import Masked
from research.rivals.training import fit

Setting = Mapping[str, Any]
Ways = dict[str, Setting]  # settings by what a table calls them
AS_IT_IS: Ways = {"": {}}
WEIGHTS = "rival.safetensors"

# The recipe that jitkit set out from: three base-256 digits a pixel, row after row, 16 of them a patch, plain v-loss.
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
class Task:
    """A manifest with its overrides, and the text (None: the manifest's own)."""

    manifest: Path
    text: Path | None
    overrides: tuple[str, ...]
    manager: PluginManager
    device: torch.device
    console: Console

    def components(self, *more: str) -> Components:
        """Return the components of the manifest under `more` overrides."""
        # The rivals are not compiled, and seconds are compared. `--set train.compile=on` asks for it all the same.
        overrides = ["train.compile=off", *self.overrides, *more]
        return open_recipe(self.manifest, data=self.text, overrides=overrides, manager=self.manager)

    @cached_property
    def common(self) -> Components:
        """The components without a seed."""
        return self.components()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of all."""
        return self.common.tokenizer.build(self.common.files)

    @cached_property
    def length(self) -> int:
        """Tokens of a window: what an image of the manifest holds."""
        backbone = self.common.backbone
        return self.common.codec.build(self.tokenizer.vocab_size, backbone.image_size, backbone.patch_size).capacity

    @cached_property
    def data(self) -> PreparedData:
        """The text of both splits, tokenised."""
        return prepared_text(self.common, self.tokenizer, self.length).data

    @cached_property
    def training_text(self) -> str:
        """The text that all learn from, and the judge."""
        return "\n".join(self.common.data.build(self.common.files).documents("train"))

    def held_out(self, num: int) -> Tensor:
        """Return at most `num` validation windows [n, L], evenly spread."""
        windows = Windows(self.data.validation, self.length)
        num = min(num, len(windows.consecutive))
        return windows.tokens([windows.consecutive[i * len(windows.consecutive) // num] for i in range(num)])


class Model(Protocol):
    """A trained contestant."""

    @property
    def network(self) -> nn.Module:
        """The module that is called once an evaluation."""
        ...

    def write(self, seeds: Sequence[int], evaluations: int, setting: Setting) -> Tensor:
        """Return tokens [B, L], a window a seed."""
        ...

    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int, setting: Setting) -> Tensor | None:
        """Return `tokens` [B, L] with those replaced where `hidden` is true; None where the model has no way to."""
        ...


class Contestant(Protocol):
    """A kind of model, before it is trained."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    def settings(self, asked: Asked) -> Ways:
        """Return the settings that its texts are sampled at, by what a table calls them."""
        ...

    def infill_settings(self, asked: Asked) -> Ways:
        """Return the settings that it fills in at, by what a table calls them."""
        ...

    def evaluations(self, asked: Sequence[int]) -> Sequence[int]:
        """Return the numbers of evaluations, of those asked for, that it can write a text in."""
        ...

    def train(self, folder: Path, seed: int) -> float:
        """Train, or go on, in a folder; return the median seconds of a step."""
        ...

    def load(self, folder: Path, seed: int) -> Model:
        """Return the model that was trained in a folder."""
        ...


# ------------------------------------------------------------------------------------------------ pixels


@dataclass(frozen=True)
class Pixels:
    """A model of jitkit's: the manifest as it is, or under the overrides that make it the original recipe."""

    name: str
    task: Task
    overrides: tuple[str, ...] = ()

    def settings(self, asked: Asked) -> Ways:
        """Return every gamma and every other sampler with every temperature, as far as sampler and objective have them."""
        others: Ways = {name: {"sampler": f"{{use='{name}'}}"} for name in asked.samplers}
        return _combined(self._gammas(asked.gammas) | others, self._temperatures(asked.temperatures))

    def infill_settings(self, asked: Asked) -> Ways:
        """Return every gamma with every temperature, as far as sampler and objective have them."""
        return _combined(self._gammas(asked.infill_gammas), self._temperatures(asked.infill_temperatures))

    @cached_property
    def _components(self) -> Components:
        return self.task.components(*self.overrides)

    def _gammas(self, gammas: Sequence[float]) -> Ways:
        if not gammas or not hasattr(self._components.sampler, "gamma"):
            return AS_IT_IS
        return {f"gamma {gamma}": {"sampler.gamma": gamma} for gamma in gammas}

    def _temperatures(self, temperatures: Sequence[float]) -> Ways:
        if not hasattr(self._components.objective, "temperature"):
            return AS_IT_IS
        return _temperatures("objective.temperature", temperatures)

    def evaluations(self, asked: Sequence[int]) -> Sequence[int]:
        """Return all."""
        return asked

    def train(self, folder: Path, seed: int) -> float:
        """Run `jitkit train --resume auto`."""
        task = self.task
        components = task.components(*self.overrides, f"train.seed={seed}")
        train(Request(components, task.manager, folder, task.device, task.console, resume="auto"))
        lines = map(json.loads, RunFolder(folder).metrics.read_text(encoding="utf-8").splitlines())
        return float(median(line["seconds"] for line in lines if "grad_norm" in line))

    def load(self, folder: Path, seed: int) -> PixelModel:
        """Return the model as its last step left it, not the best one: the rivals have no other."""
        path = RunFolder(folder).checkpoints()[0]
        model = open_model(path, self.task.manager)
        return PixelModel(model.pipeline(self.task.device), model)


@dataclass(frozen=True)
class PixelModel:
    """A pipeline, whose sampler and objective a setting may change."""

    pipeline: Pipeline
    model: OpenedModel

    @property
    def network(self) -> nn.Module:
        """The backbone."""
        return self.pipeline.network

    def write(self, seeds: Sequence[int], evaluations: int, setting: Setting) -> Tensor:
        """Return tokens [B, L], a window a seed."""
        return torch.stack([text.tokens for text in self._at(setting).generate(seeds, steps=evaluations)])

    def _at(self, setting: Setting) -> Pipeline:
        overrides = [f"{key}={value}" for key, value in setting.items()]
        parts = self.model.components(overrides)
        denoiser = replace(self.pipeline.denoiser, objective=parts.objective)
        return replace(self.pipeline, denoiser=denoiser, sampler=parts.sampler)

    @torch.inference_mode()
    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int, setting: Setting) -> Tensor | None:
        """Return `tokens` [B, L], those where `hidden` is true as a walk finds them."""
        pipeline = self._at(setting)
        denoiser, codec = pipeline.denoiser, pipeline.codec
        if not denoiser.can_be_given:
            return None
        x_known = codec.encode(tokens.masked_fill(hidden, pipeline.tokenizer.pad_id))
        denoiser = denoiser.given(x_known, codec.pixel_mask(~hidden))
        generator = torch.Generator().manual_seed(0)

        def noise() -> Tensor:
            return torch.randn(x_known.shape, generator=generator).to(x_known.device) * denoiser.schedule.noise_scale

        grid = denoiser.schedule.grid(evaluations)
        return codec.decode(pipeline.sampler.sample(denoiser, noise(), grid, fresh_noise=noise))


# ------------------------------------------------------------------------------------------------ tokens


@dataclass(frozen=True)
class Tokens:
    """A rival of the same trunk, trained as the manifest's `[train]` says."""

    name: str
    task: Task
    kind: type[Autoregressive] | type[Masked]

    def settings(self, asked: Asked) -> Ways:
        """Return every temperature, and for masked diffusion in either order."""
        orders: Ways = {order: {"order": order} for order in ("random", "confidence")}
        return _combined(orders if self.kind is Masked else AS_IT_IS, _temperatures("temperature", asked.temperatures))

    def infill_settings(self, asked: Asked) -> Ways:
        """Return one: the likeliest tokens, the surest first."""
        return {"surest first": {}}

    def evaluations(self, asked: Sequence[int]) -> Sequence[int]:
        """Return all; of an autoregressive model, one a token."""
        return asked if self.kind is Masked else [self.task.length]

    def train(self, folder: Path, seed: int) -> float:
        """Train from the beginning."""
        task, rival = self.task, self._new(seed)
        settings = task.components(f"train.seed={seed}").manifest.train
        seconds = fit(rival, Windows(task.data.train, task.length), settings, task.device, task.console)
        with atomic_write(folder / WEIGHTS) as file:
            file.write(save({name: value.contiguous() for name, value in rival.state_dict().items()}))
        return seconds

    def load(self, folder: Path, seed: int) -> TokenModel:
        """Return the rival with its averaged weights."""
        rival, path = self._new(seed), folder / WEIGHTS
        load_into(rival, read_safetensors(path), file=path)
        return TokenModel(rival.eval())

    def _new(self, seed: int) -> Autoregressive | Masked:
        backbone = self.task.common.backbone
        if not isinstance(backbone, JitSettings):
            raise UsageError(
                f"backbone {shown(backbone.name)}", "'jit', whose blocks the rivals share", field="MANIFEST"
            )
        torch.manual_seed(seed)
        with self.task.device:
            return self.kind(backbone, self.task.tokenizer.vocab_size, self.task.length)


@dataclass(frozen=True)
class TokenModel:
    """A rival, and the few things in which the two differ."""

    rival: Autoregressive | Masked

    @property
    def network(self) -> nn.Module:
        """The trunk: each call is an evaluation."""
        return self.rival.trunk

    def write(self, seeds: Sequence[int], evaluations: int, setting: Setting) -> Tensor:
        """Return tokens [B, L], a window a seed."""
        if isinstance(self.rival, Autoregressive):
            return self.rival.write(seeds, **setting)
        return self.rival.write(seeds, evaluations=evaluations, **setting)

    def infill(self, tokens: Tensor, hidden: Tensor, evaluations: int, setting: Setting) -> Tensor | None:
        """Return `tokens` [B, L] with the holes filled; None from a model that knows what came before only."""
        return None if isinstance(self.rival, Autoregressive) else self.rival.infill(tokens, hidden, evaluations)


# ------------------------------------------------------------------------------------------------ all of them


def contestants(task: Task) -> dict[str, Contestant]:
    """Return all, by name. Raises UsageError for a window that the original's images cannot hold exactly."""
    side = math.isqrt(task.length)
    if side**2 != task.length or side % 4:
        raise UsageError(
            f"windows of {task.length} tokens",
            "the square of a multiple of 4, such as 64 or 256: the original has one pixel a token, in patches of 4x4",
            field="MANIFEST",
        )
    everyone: list[Contestant] = [
        Pixels("jitkit", task),
        Pixels("original", task, (*ORIGINAL, f"backbone.image_size={side}")),
        Tokens("masked", task, Masked),
        Tokens("autoregressive", task, Autoregressive),
    ]
    return {contestant.name: contestant for contestant in everyone}


def _temperatures(key: str, temperatures: Sequence[float]) -> Ways:
    return {f"temperature {temperature}": {key: temperature} for temperature in temperatures}


def _combined(*axes: Ways) -> Ways:
    """Return every combination of a way of each axis, under the names of its parts."""
    found: Ways = {}
    for chosen in product(*(axis.items() for axis in axes)):
        name = ", ".join(name for name, _ in chosen if name)
        found[name] = {key: value for _, setting in chosen for key, value in setting.items()}
    return found

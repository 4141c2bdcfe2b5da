"""JiT, "Just image Transformer": a plain transformer on patches of pixels (Li & He 2025, arXiv 2511.13720).

No image tokenizer, no latent space, no convolution: patches in, time-modulated blocks, patches out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, ValidationError, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit.codecs.layout import patches_follow_text
from jitkit.component import Component
from jitkit.errors import ManifestError, UsageError, shown
from jitkit.protocols import Codec, NetworkInputs
from jitkit_plugins.backbones.blocks import Block, Time, modulate, modulation
from jitkit_plugins.backbones.published import MODEL_NAMES, matching_network, published_options
from jitkit_plugins.backbones.rotary import AXES, Order, rotation

STD = 0.02  # of new weights
NUM_TIME_FEATURES = 256
TENSORS_PER_LAYER = 6  # held at once, at most


class JitSettings(Component):
    """JiT: a transformer on patches of pixels.

    RMSNorm, qk-norm, rotary and learned positions, SwiGLU, AdaLN-Zero, zero-initialized output head.
    """

    name: ClassVar[str] = "jit"

    image_size: int = Field(64, ge=1, le=4096, description="height and width of an image, in pixels")
    patch_size: int = Field(4, ge=1, description="height and width of a patch, in pixels")
    embed_dim: int = Field(768, ge=2, le=65536, description="width of the network")
    depth: int = Field(12, ge=1, le=1024, description="number of blocks")
    num_heads: int = Field(12, ge=1, description="attention heads; divides embed_dim")
    mlp_ratio: float = Field(
        4.0, gt=0, le=64, description="the SwiGLU layers are 2/3 of mlp_ratio times embed_dim wide"
    )
    bottleneck_dim: int | None = Field(
        None, ge=1, description="embed patches through a layer of this width; unset: directly"
    )
    rope: Order = Field(
        "grid", description="rotary positions: row and column on the patch grid, or index along the text"
    )
    time: Time = Field(
        "adaln",
        description="time conditioning: AdaLN in every block (adaln, a third of the weights), added to the patches "
        "(input), or none",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size: found {self.patch_size}; expected a divisor of image_size {self.image_size}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads: found {self.num_heads}; expected a divisor of embed_dim {self.embed_dim}")
        head_dim, multiple = self.embed_dim // self.num_heads, 2 * AXES[self.rope]
        if head_dim % multiple:
            raise ValueError(
                f"num_heads: found {self.num_heads} (head width {head_dim}); expected a head width that is a multiple of "
                f"{multiple} for rope = {self.rope!r}"
            )
        return self

    @property
    def feed_forward_dim(self) -> int:
        """Hidden width of SwiGLU: 2/3 of `mlp_ratio` times the width, rounded to a multiple of 32 (at least 32).

        The factor 2/3 accounts for SwiGLU's third matrix. Multiples of 32 suit matrix units.
        """
        return max(1, round(self.embed_dim * self.mlp_ratio * 2 / 3 / 32)) * 32

    def check(self, codec: Codec) -> None:
        """Raise ManifestError for text positions if the patches do not follow the text."""
        if self.rope == "text" and not patches_follow_text(codec, self.patch_size):
            found = "'text' with a codec whose patches mix tokens from different positions of the text"
            hint = "Set codec.layout to patch-major, or backbone.rope to grid."
            raise ManifestError(found, "'grid', or a codec that fills one patch after another", field="rope", hint=hint)

    def build(self, inputs: NetworkInputs = NetworkInputs(), channels: int = 3) -> nn.Module:
        """Return a newly initialized `Jit`; weights follow torch's global generator."""
        return Jit(self, inputs, channels)

    def activation_bound(self, network: nn.Module) -> int:
        """Return a bound on the numbers per image in one layer: inputs and outputs of its widest matrix, and scores."""
        num_patches = (self.image_size // self.patch_size) ** 2
        widest = max(sum(value.shape) for value in network.parameters() if value.ndim == 2)
        return TENSORS_PER_LAYER * (num_patches * widest + self.num_heads * num_patches**2)

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a network of about ten thousand parameters on 4 patches."""
        return cls(image_size=8, patch_size=4, embed_dim=32, depth=2, num_heads=2)

    @classmethod
    def model_names(cls) -> tuple[str, ...]:
        """Return the names of the paper's sizes, "JiT-B/4" and so on."""
        return MODEL_NAMES

    @classmethod
    def from_model_name(cls, name: str, image_size: int) -> Self:
        """Return the settings of one of `model_names`. Raises UsageError if `image_size` does not fit."""
        try:
            return cls.model_validate(published_options(name, image_size))
        except ValidationError as error:
            expected = f"a positive multiple of {name.partition('/')[2]}, at most 4096"
            raise UsageError(f"img_size {shown(image_size)}", expected) from error

    @classmethod
    def matching(
        cls, name: str, image_size: int, weights: Mapping[str, Tensor], options: Mapping[str, Any] | None
    ) -> nn.Module:
        """Return the network of that size that `weights` belong to, see `matching_network`."""
        return matching_network(cls.from_model_name(name, image_size), weights, options)


class Jit(nn.Module):
    """The network. The inputs `x_prev`, `known` and `token_posterior` are extra channels of the image, `scale` joins time.

    Letters in shapes: B images, C channels in or out, S = image_size, N patches, P numbers per patch, D width.
    """

    def __init__(self, settings: JitSettings, inputs: NetworkInputs = NetworkInputs(), channels: int = 3) -> None:
        super().__init__()
        self.settings, self.inputs, self.channels = settings, inputs, channels
        self.patches_per_side = settings.image_size // settings.patch_size
        width, pixels = settings.embed_dim, settings.patch_size**2
        in_dim = (3 + 3 * inputs.x_prev + inputs.known + 3 * inputs.token_posterior) * pixels
        if bottleneck := settings.bottleneck_dim:
            layers = nn.Linear(in_dim, bottleneck, bias=False), nn.Linear(bottleneck, width)
            self.patch_embedding: nn.Module = nn.Sequential(*layers)
        else:
            self.patch_embedding = nn.Linear(in_dim, width)
        self.position_embedding = nn.Parameter(torch.empty(self.patches_per_side**2, width))
        num_features = NUM_TIME_FEATURES * ((settings.time != "none") + inputs.scale)
        self.time_mlp = time_mlp(settings.time, num_features, width) if num_features else None
        self.blocks = nn.ModuleList(
            Block(width, settings.num_heads, settings.feed_forward_dim, settings.time) for _ in range(settings.depth)
        )
        self.modulation = modulation(settings.time, width, 2 * width)
        # Rows are ordered pixel by pixel. Weights in the older order are called `head` and do not load.
        self.pixel_head = nn.Linear(width, channels * pixels)
        self.initialize()

    def initialize(self) -> None:
        """Draw new weights: small values, and zeros where they make a new network the zero function."""
        if self.position_embedding.is_meta:
            return  # nothing to draw, and torch would import 800 modules to find that out
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.position_embedding, std=STD)
        # Last, so that nothing overwrites it: AdaLN-Zero and a zero output head.
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and name.rpartition(".")[2] in {"modulation", "pixel_head"}:
                nn.init.zeros_(module.weight)
            elif isinstance(module, Block) and self.settings.time != "adaln":
                module.open_gates()

    def forward(
        self,
        z: Tensor,
        t: Tensor,
        *,
        x_prev: Tensor | None = None,
        known: Tensor | None = None,
        token_posterior: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Return the raw output [B, C, S, S] for `z` [B, 3, S, S] at times `t` [B] in [0, 1]; an image (C = 3) in float32.

        `x_prev` and `token_posterior` are [B, 3, S, S], `known` is [B, 1, S, S] and `scale` [B]. None means zeros. An
        input that the network was not built with must be None.
        """
        extra = {"x_prev": x_prev, "known": known, "token_posterior": token_posterior}
        image = torch.cat((z, *self._extra_channels(z, extra)), dim=1)  # [B, C, S, S]
        patches = F.pixel_unshuffle(image, self.settings.patch_size).flatten(2).transpose(1, 2)  # [B, N, P]
        x = self.patch_embedding(patches) + self.position_embedding
        assert self.inputs.scale or scale is None, "scale passed to a network built without it"
        condition = None if self.time_mlp is None else self.time_mlp(self._time_features(t, scale))
        if condition is not None and self.settings.time != "adaln":
            x = x + condition[:, None]
        head_dim = self.settings.embed_dim // self.settings.num_heads
        angles = rotation(self.settings.rope, self.patches_per_side, head_dim, z.device)
        for block in self.blocks:
            x = block(x, condition, angles)
        x = modulate(x, *self.modulation(condition)[:, None].chunk(2, dim=-1))
        return self._image(x)

    def _extra_channels(self, z: Tensor, extra: Mapping[str, Tensor | None]) -> Iterator[Tensor]:
        for name, value in extra.items():
            if getattr(self.inputs, name):
                yield torch.zeros_like(z[:, :1] if name == "known" else z) if value is None else value
            else:
                assert value is None, f"{name} passed to a network built without it"

    def _time_features(self, t: Tensor, scale: Tensor | None) -> Tensor:
        """Return the features of time and guidance scale: [B, F], or [1, F] if all images share them."""
        features = [] if self.settings.time == "none" else [time_features(shared(t))]
        if self.inputs.scale:
            scale = shared(torch.zeros_like(shared(t)) if scale is None else scale)
            features.append(time_features(scale / (1 + scale)))  # maps [0, inf) to [0, 1)
        return torch.cat(torch.broadcast_tensors(*features), dim=-1)  # type: ignore[no-untyped-call]

    def _image(self, x: Tensor) -> Tensor:
        """Return the image [B, C, S, S] of the patches `x` [B, N, D]."""
        # Images stay in float32 under autocast: bfloat16's 8 bits cannot represent 256 color levels.
        if self.channels != 3 or x.device.type == "meta":
            patches = self.pixel_head(x)
        else:
            with torch.autocast(x.device.type, enabled=False):
                patches = self.pixel_head(x.float())
        # Many channels of a pixel stay adjacent in memory (torch.channels_last), which makes them fast to move.
        side, patch_size = self.patches_per_side, self.settings.patch_size
        pixels = patches.view(len(patches), side, side, patch_size, patch_size, -1).transpose(2, 3)
        image: Tensor = pixels.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
        return image.contiguous() if self.channels == 3 else image


def time_mlp(time: Time, num_features: int, width: int) -> nn.Sequential:
    """Return the network from time features [B, F] to the condition [B, D], which modulates or is added to the patches."""
    layers = [nn.Linear(num_features, width), nn.SiLU(), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.SiLU()) if time == "adaln" else nn.Sequential(*layers)


def shared(t: Tensor) -> Tensor:
    """Return `t` [B], or only its first number [1] if `t` is one expanded number, as samplers pass it.

    Time embedding and modulations are then computed once per batch.
    """
    return t[:1] if len(t) > 1 and t.stride(0) == 0 else t


def time_features(t: Tensor) -> Tensor:
    """Return cosines and sines [B, 256] of `t` [B] at frequencies from 1 to 1000 radians, in geometric steps."""
    half = NUM_TIME_FEATURES // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (math.log(1000) / (half - 1)))
    angles = t.float()[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=-1)

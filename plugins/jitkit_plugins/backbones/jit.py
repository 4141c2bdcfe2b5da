"""JiT, "Just image Transformer": a plain transformer on patches of pixels (Li & He 2025, arXiv 2511.13720).

No tokenizer of images, no latent space, no convolution: patches in, blocks modulated by time, patches out.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from jitkit.codecs.text_order import patches_follow_text
from jitkit.component import Component
from jitkit.errors import ManifestError
from jitkit.protocols import Codec
from jitkit_plugins.backbones.blocks import Block, Time, modulate, modulation
from jitkit_plugins.backbones.rotary import AXES, Order, rotation

STD = 0.02  # of new weights
NUM_TIME_FEATURES = 256


class JitSettings(Component):
    """JiT: a transformer on patches of pixels, modulated by time (AdaLN-Zero), told the time with the patches, or not told it.

    RMSNorm, qk-norm, rotary and learned positions, SwiGLU, zero-initialised modulation and output head.
    """

    name: ClassVar[str] = "jit"

    image_size: Annotated[int, Field(ge=1, le=4096, description="height and width of an image, pixels")] = 64
    patch_size: Annotated[int, Field(ge=1, description="height and width of a patch, pixels")] = 4
    embed_dim: Annotated[int, Field(ge=2, le=65536, description="width of the network")] = 768
    depth: Annotated[int, Field(ge=1, le=1024, description="number of blocks")] = 12
    num_heads: Annotated[int, Field(ge=1, description="attention heads; divides embed_dim")] = 12
    mlp_ratio: Annotated[
        float, Field(gt=0, le=64, description="feed-forward layers are 2/3 of this times embed_dim wide (SwiGLU)")
    ] = 4.0
    bottleneck_dim: Annotated[
        int | None, Field(ge=1, description="embed patches by way of so many numbers; none: directly")
    ] = None
    rope: Annotated[
        Order, Field(description="rotary positions: row and column on the patch grid, or index along the text")
    ] = "grid"
    time: Annotated[
        Time,
        Field(
            description="how time comes in: it modulates every block (adaln, a third of the weights), is added to the patches "
            "(input), or is left for the network to see (none)"
        ),
    ] = "adaln"

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size: found {self.patch_size}; expected a divisor of image_size {self.image_size}")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads: found {self.num_heads}; expected a divisor of embed_dim {self.embed_dim}")
        head_dim, multiple = self.embed_dim // self.num_heads, 2 * AXES[self.rope]
        if head_dim % multiple:
            raise ValueError(
                f"num_heads: found {self.num_heads}, so {head_dim} numbers a head; expected a multiple of {multiple} "
                f"for rope = {self.rope!r}"
            )
        return self

    @property
    def feed_forward_dim(self) -> int:
        """Hidden width of SwiGLU: 2/3 of `mlp_ratio` times the width, to the nearest multiple of 32 (at least 32).

        Two thirds, for SwiGLU has three matrices where a plain layer has two; whole tiles of 32 keep matrix units busy.
        """
        return max(1, round(self.embed_dim * self.mlp_ratio * 2 / 3 / 32)) * 32

    def check(self, codec: Codec) -> None:
        """Raise ManifestError for positions along the text where the patches do not follow it."""
        if self.rope == "text" and not patches_follow_text(codec, self.patch_size):
            raise ManifestError(
                "'text' beside a codec whose patches mix tokens from several places of the text",
                "'grid', or a codec that fills patch after patch",
                field="rope",
                hint="Set codec.layout to patch-major, or backbone.rope to grid.",
            )

    def build(
        self,
        *,
        x_prev: bool = False,
        known: bool = False,
        reading: bool = False,
        scale: bool = False,
        channels: int = 3,
    ) -> nn.Module:
        """Return a newly initialised `Jit`; weights follow torch's global generator."""
        return Jit(self, x_prev=x_prev, known=known, reading=reading, scale=scale, channels=channels)

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a network of some ten thousand parameters on 4 patches."""
        return cls(image_size=8, patch_size=4, embed_dim=32, depth=2, num_heads=2)


class Jit(nn.Module):
    """The network. Built with `x_prev`, `known` or `reading`, it takes them as further channels of the image; `scale` beside time.

    Letters in shapes: B images, C channels that go in or come out, S = image_size, N patches, P numbers a patch, D width.
    """

    def __init__(
        self,
        settings: JitSettings,
        *,
        x_prev: bool = False,
        known: bool = False,
        reading: bool = False,
        scale: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.settings, self.channels = settings, channels
        self.takes_x_prev, self.takes_known, self.takes_reading, self.takes_scale = x_prev, known, reading, scale
        self.patches_a_side = settings.image_size // settings.patch_size
        width, pixels = settings.embed_dim, settings.patch_size**2
        in_dim = (3 + 3 * x_prev + known + 3 * reading) * pixels
        self.patch_embedding: nn.Module = (
            nn.Linear(in_dim, width)
            if settings.bottleneck_dim is None
            else nn.Sequential(
                nn.Linear(in_dim, settings.bottleneck_dim, bias=False), nn.Linear(settings.bottleneck_dim, width)
            )
        )
        self.position_embedding = nn.Parameter(torch.empty(self.patches_a_side**2, width))
        num_told = (settings.time != "none") + scale
        self.time_mlp = time_mlp(settings.time, NUM_TIME_FEATURES * num_told, width) if num_told else None
        self.blocks = nn.ModuleList(
            Block(width, settings.num_heads, settings.feed_forward_dim, settings.time) for _ in range(settings.depth)
        )
        self.modulation = modulation(settings.time, width, 2 * width)
        # One pixel after the other. The name stands for this order of rows: weights in the older one, `head`, do not load.
        self.pixel_head = nn.Linear(width, channels * pixels)
        self.initialise()

    def initialise(self) -> None:
        """Draw new weights: everything small, and at zero what lets a new network begin as the zero function."""
        if self.position_embedding.is_meta:
            return  # no numbers to draw, and to find that out torch would load 800 modules
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.position_embedding, std=STD)
        # Last, so that nothing overwrites it: AdaLN-Zero, and a head whose first estimate is no estimate.
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
        reading: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Return the raw output [B, C, S, S] for `z` [B, 3, S, S] at times `t` [B] in [0, 1]; an image (C = 3) in float32.

        `x_prev` and `reading` [B, 3, S, S], `known` [B, 1, S, S] and `scale` [B] may be given to a network built with them;
        None means zeros.
        """
        image = torch.cat((z, *self._conditioning(z, x_prev, known, reading)), dim=1)  # [B, C, S, S]
        patches = F.pixel_unshuffle(image, self.settings.patch_size).flatten(2).transpose(1, 2)  # [B, N, P]
        x = self.patch_embedding(patches) + self.position_embedding
        condition = None if self.time_mlp is None else self.time_mlp(self._moment(t, scale))
        if condition is not None and self.settings.time != "adaln":
            x = x + condition[:, None]
        angles = rotation(
            self.settings.rope, self.patches_a_side, self.settings.embed_dim // self.settings.num_heads, z.device
        )
        for block in self.blocks:
            x = block(x, condition, angles)
        x = modulate(x, *self.modulation(condition)[:, None].chunk(2, dim=-1))
        return self._image(x)

    def _conditioning(
        self, z: Tensor, x_prev: Tensor | None, known: Tensor | None, reading: Tensor | None
    ) -> list[Tensor]:
        assert self.takes_x_prev or x_prev is None, "x_prev given to a network built without it"
        assert self.takes_known or known is None, "known given to a network built without it"
        assert self.takes_reading or reading is None, "reading given to a network built without it"
        extra = []
        if self.takes_x_prev:
            extra.append(torch.zeros_like(z) if x_prev is None else x_prev)
        if self.takes_known:
            extra.append(torch.zeros_like(z[:, :1]) if known is None else known)
        if self.takes_reading:
            extra.append(torch.zeros_like(z) if reading is None else reading)
        return extra

    def _moment(self, t: Tensor, scale: Tensor | None) -> Tensor:
        """Return what says when, and how far to be guided: features [B, F], or [1, F] for all."""
        assert self.takes_scale or scale is None, "scale given to a network built without it"
        features = [] if self.settings.time == "none" else [time_features(once(t))]
        if self.takes_scale:
            scale = once(torch.zeros_like(once(t)) if scale is None else scale)
            features.append(time_features(scale / (1 + scale)))  # [0, inf) becomes [0, 1)
        return torch.cat(torch.broadcast_tensors(*features), dim=-1)  # type: ignore[no-untyped-call]

    def _image(self, x: Tensor) -> Tensor:
        # An image in float32 also under autocast: at bfloat16's 8 bits a colour of 256 steps could not be said.
        if self.channels != 3 or x.device.type == "meta":
            patches = self.pixel_head(x)
        else:
            with torch.autocast(x.device.type, enabled=False):
                patches = self.pixel_head(x.float())
        image = _unpatch(patches, self.patches_a_side, self.settings.patch_size)
        return image.contiguous() if self.channels == 3 else image


def _unpatch(patches: Tensor, side: int, patch_size: int) -> Tensor:
    """Return the image [B, C, S, S] of `side` x `side` patches [B, N, p p C], each of which holds one pixel after the other.

    The numbers of a pixel stay together in memory (torch.channels_last): thousands of them are moved as one.
    """
    pixels = patches.view(len(patches), side, side, patch_size, patch_size, -1).transpose(2, 3)
    return pixels.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def time_mlp(time: Time, num_features: int, width: int) -> nn.Sequential:
    """Return what makes of features of time [B, F] the condition [B, D]: what modulates, or what is added to the patches."""
    layers = [nn.Linear(num_features, width), nn.SiLU(), nn.Linear(width, width)]
    return nn.Sequential(*layers, nn.SiLU()) if time == "adaln" else nn.Sequential(*layers)


def once(t: Tensor) -> Tensor:
    """Return `t` [B], or its first number [1] where all images share it: a sampler's one time, expanded.

    Then time is embedded, and every modulation computed, once for the whole batch.
    """
    return t[:1] if len(t) > 1 and t.stride(0) == 0 else t


def time_features(t: Tensor) -> Tensor:
    """Return cosines and sines [B, 256] of `t` [B] at frequencies from 1 to 1000 radians, in geometric steps."""
    half = NUM_TIME_FEATURES // 2
    frequencies = torch.exp(torch.arange(half, device=t.device) * (math.log(1000) / (half - 1)))
    angles = t.float()[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=-1)

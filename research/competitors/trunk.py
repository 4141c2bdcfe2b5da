"""The trunk of both token models: the transformer of the `jit` backbone, with tokens instead of pixels at both ends.

Letters in shapes: B texts, N tokens per call, L window length, V vocabulary size, D width, A heads, K head width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jitkit_plugins.backbones.blocks import Attention, Block, modulate, modulation
from jitkit_plugins.backbones.jit import NUM_TIME_FEATURES, STD, JitSettings, time_features, time_mlp
from jitkit_plugins.backbones.rotary import Rotation, rotation


class Trunk(nn.Module):
    """The blocks of the manifest's network, with the same time input, and rotary positions along the text.

    Only the two ends differ from `Jit`: it embeds ids instead of patches, and outputs logits instead of pixels. The input
    vocabulary has one additional id, `extra`, which is never predicted.
    """

    def __init__(
        self, settings: JitSettings, vocab_size: int, length: int, attention: type[Attention] = Attention
    ) -> None:
        super().__init__()
        width, heads = settings.embed_dim, settings.num_heads
        self.extra, self.length, self.head_dim = vocab_size, length, width // heads
        self.embedding = nn.Embedding(vocab_size + 1, width)
        self.position_embedding = nn.Parameter(torch.empty(length, width))
        self.time = settings.time
        self.time_mlp = None if self.time == "none" else time_mlp(self.time, NUM_TIME_FEATURES, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, settings.feed_forward_dim, settings.time) for _ in range(settings.depth)
        )
        for block in self.blocks:
            block.attention = attention(width, heads)
        self.modulation = modulation(settings.time, width, 2 * width)
        self.head = nn.Linear(width, vocab_size)
        self.initialize()

    def initialize(self) -> None:
        """Initialize the weights as `Jit` does. A new trunk gives every id the same probability."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                zero = name.rpartition(".")[2] in {"modulation", "head"}
                nn.init.zeros_(module.weight) if zero else nn.init.trunc_normal_(module.weight, std=STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.blocks:
            if isinstance(block, Block) and self.time != "adaln":
                block.open_gates()
        nn.init.normal_(self.embedding.weight, std=STD)
        nn.init.normal_(self.position_embedding, std=STD)

    def forward(self, tokens: Tensor, t: Tensor, first: int = 0) -> Tensor:
        """Return logits [B, N, V] for `tokens` [B, N] at the positions from `first` on. `t` [B] is in [0, 1]."""
        places = slice(first, first + tokens.shape[1])
        x = self.embedding(tokens) + self.position_embedding[places]
        condition = None if self.time_mlp is None else self.time_mlp(time_features(t))
        if condition is not None and self.time != "adaln":
            x = x + condition[:, None]
        angles = self.angles(places)
        for block in self.blocks:
            x = block(x, condition, angles)
        logits: Tensor = self.head(modulate(x, *self.modulation(condition)[:, None].chunk(2, dim=-1)))
        return logits

    def angles(self, places: slice) -> Rotation:
        """Return the rotation of the tokens at `places`."""
        side = math.isqrt(self.length - 1) + 1  # of the smallest square that holds the window
        cos, sin = rotation("text", side, self.head_dim, self.position_embedding.device)
        return Rotation(cos[places], sin[places])


def draw(logits: Tensor, temperature: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Return tokens [B, N] drawn from softmax(`logits` [B, N, V] / `temperature`), or the most probable at temperature 0.

    Uses the Gumbel-max rule in float64, since float32 never draws the rarest ids (Zheng et al. 2024, 2409.02908). Each text
    has its own CPU generator, so it does not depend on the rest of the batch.
    """
    if temperature == 0:
        return logits.argmax(-1)
    shape = logits.shape[1:]
    exponentials = torch.stack([torch.empty(shape, dtype=torch.float64).exponential_(generator=g) for g in generators])
    return (logits.double() / temperature - exponentials.to(logits.device).log()).argmax(-1)


def generators_of(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return one CPU generator per text."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]

"""The sizes of the JiT paper, and the network that a set of weights belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, get_args

import torch
from torch import Tensor, nn

from jitkit.protocols import NetworkInputs
from jitkit_plugins.backbones.blocks import Time

if TYPE_CHECKING:
    from jitkit_plugins.backbones.jit import JitSettings

# Li & He 2025 (arXiv 2511.13720), appendix A: width, blocks, heads, and the bottleneck d' of the patch embedding.
SIZES = {
    "B": {"embed_dim": 768, "depth": 12, "num_heads": 12, "bottleneck_dim": 128},
    "L": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "bottleneck_dim": 128},
    "H": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "bottleneck_dim": 256},
}
PATCH_SIZES = (4, 8, 16, 32)
MODEL_NAMES = tuple(f"JiT-{size}/{patch_size}" for size, patch_size in product(SIZES, PATCH_SIZES))


def published_options(name: str, image_size: int) -> dict[str, Any]:
    """Return the options of a name like "JiT-B/4". The bottleneck is only used where it is smaller than a patch."""
    size, patch_size = name.removeprefix("JiT-").split("/")
    options: dict[str, Any] = SIZES[size] | {"image_size": image_size, "patch_size": int(patch_size)}
    if options["bottleneck_dim"] >= 3 * options["patch_size"] ** 2:
        del options["bottleneck_dim"]
    return options


def matching_network(
    settings: JitSettings, weights: Mapping[str, Tensor], options: Mapping[str, Any] | None
) -> nn.Module:
    """Return an uninitialized network on the CPU whose tensor names and shapes match `weights` as closely as possible.

    `rope` and `time` come from `options` if a manifest came with the weights. Otherwise `rope` is "grid", and `time`
    follows from the weights. Ties go to the first candidate: `x_prev` alone and `token_posterior` alone have equal
    shapes and are taken for `x_prev`; `scale` without time is taken for time.
    """
    if options is None:
        choices = [settings.model_copy(update={"time": time}) for time in get_args(Time)]
    else:
        choices = [settings.model_copy(update={key: options[key] for key in ("rope", "time") if key in options})]
    channels = _channels(weights, settings.patch_size)
    inputs = [
        NetworkInputs(x_prev, known, token_posterior, scale)
        for token_posterior, x_prev, known, scale in product((False, True), repeat=4)
    ]
    with torch.device("meta"):
        candidates = (choice.build(taken, channels) for choice, taken in product(choices, inputs))
        return max(candidates, key=lambda network: _similarity(network, weights)).to_empty(device="cpu")


def _similarity(network: nn.Module, weights: Mapping[str, Tensor]) -> int:
    expected = network.state_dict()
    fitting = [name for name, value in expected.items() if name in weights and weights[name].shape == value.shape]
    return 2 * len(fitting) - len(expected)


def _channels(weights: Mapping[str, Tensor], patch_size: int) -> int:
    """Return the number of output channels of the network that `weights` belong to; 3 if they do not show it."""
    head = weights.get("pixel_head.bias")
    return 3 if head is None or len(head) % patch_size**2 else len(head) // patch_size**2

"""The Python door: networks by the names of the JiT paper, without a manifest.

::

    network = jitkit.build_jit_model("JiT-B/4")
    network = jitkit.load_pretrained_jit("JiT-B/4", "best_model.pth")

Text, tokens, noise and sampling are a pipeline's business: ``jitkit.load_pipeline(checkpoint).generate(...)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from jitkit.checkpoints.open import load_weights, manifest_of
from jitkit.component import Component
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import UsageError, did_you_mean, shown
from jitkit.protocols import Backbone
from jitkit.storage.weights import load_into

# Li & He 2025 (arXiv 2511.13720), appendix A: width, blocks, heads, and the bottleneck d' of the patch embedding.
SIZES = {
    "B": {"embed_dim": 768, "depth": 12, "num_heads": 12, "bottleneck_dim": 128},
    "L": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "bottleneck_dim": 128},
    "H": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "bottleneck_dim": 256},
}
PATCH_SIZES = (4, 8, 16, 32)
TIMES = ("adaln", "input", "none")  # how a network may be told the time
MODEL_NAMES = tuple(f"JiT-{size}/{patch_size}" for size, patch_size in product(SIZES, PATCH_SIZES))


def jit_settings(model_name: str, img_size: int = 64) -> Backbone:
    """Return the settings of the backbone `jit` that a name like "JiT-B/4" stands for.

    The bottleneck is used where it is one: where a patch has more numbers than it. Raises UsageError for a name not in
    `MODEL_NAMES`, or an `img_size` that the patch does not divide.
    """
    if model_name not in MODEL_NAMES:
        raise UsageError(
            f"model {shown(model_name)}",
            f"one of {', '.join(MODEL_NAMES)}",
            hint=did_you_mean(str(model_name), MODEL_NAMES),
        )
    size, patch_size = model_name.removeprefix("JiT-").split("/")
    settings: dict[str, Any] = SIZES[size] | {"image_size": img_size, "patch_size": int(patch_size)}
    if settings["bottleneck_dim"] >= 3 * settings["patch_size"] ** 2:
        del settings["bottleneck_dim"]
    jit = Registry(create_plugin_manager()).component("backbone", "jit")
    try:
        return cast(Backbone, jit.model_validate(settings))
    except ValidationError as error:
        raise UsageError(f"img_size {shown(img_size)}", f"a positive multiple of {patch_size}, at most 4096") from error


def build_jit_model(model_name: str = "JiT-B/4", img_size: int = 64, predict_clean: bool = True) -> nn.Module:
    """Return the randomly initialised network of that name; torch's global generator decides the weights.

    It maps `z` [B, 3, img_size, img_size] and `t` [B] in [0, 1] (0 is noise) to an image [B, 3, img_size, img_size]
    float32, which is the estimate of the clean image. What an output means is decided by the loss it is trained with, not
    by the network, so there is no other network to return for ``predict_clean=False``: UsageError says where to turn.
    Raises UsageError also for an unknown name or an `img_size` that does not fit.
    """
    if not predict_clean:
        raise UsageError(
            "predict_clean=False",
            "True: the network is the same, and its objective says how it is read",
            hint='Train with prediction = "v" or "eps" in the table [objective] of a manifest.',
        )
    return jit_settings(model_name, img_size).build()


def load_pretrained_jit(model_name: str, pretrained_path: str | Path, img_size: int = 64) -> nn.Module:
    """Return the network of that name with the weights of a `.pth` (key `model_state_dict`) or `.safetensors` file.

    Where a manifest came with the weights its `rope` and `time` are taken. Weights alone do not tell of positions, which are
    taken to be on the grid, but of time. Whether the network takes `x_prev`, `known`, `reading` and `scale` beside `z`, and
    how many numbers it says of a pixel, follows from the weights; one of the first and the third alone, which are as large,
    is taken for `x_prev`, and `scale` alone beside no time for the time. It is in evaluation mode, on the CPU.
    Raises UsageError as `build_jit_model`, RefusedError for a file with code inside, InputError for a missing or damaged
    file or one whose names, shapes or dtypes are not exactly those of the network; the first few are listed.
    """
    settings, path = jit_settings(model_name, img_size), Path(pretrained_path)
    weights, manifest = load_weights(path), manifest_of(path)
    if manifest is None:
        choices = [_with(settings, time=time) for time in TIMES]
    else:
        told = manifest.backbone.options
        choices = [_with(settings, **{key: told[key] for key in ("rope", "time") if key in told})]
    network = _network_for(choices, weights)
    load_into(network, weights, file=path)
    return network.eval()


def _with(settings: Backbone, **changed: str) -> Backbone:
    """Return `settings` with other options."""
    return cast(Backbone, cast(Component, settings).model_copy(update=changed))


def _network_for(choices: Sequence[Backbone], weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the network, among `choices` with and without optional inputs, whose tensors are named and shaped most like `weights`.

    Of equals the first is taken, so those without a reading come first.
    """
    inputs = ("reading", "x_prev", "known", "scale")
    channels = _channels(weights, choices[0].patch_size)

    def on_meta(choice: tuple[Backbone, tuple[bool, ...]]) -> nn.Module:
        settings, taken = choice
        with torch.device("meta"):
            return settings.build(**dict(zip(inputs, taken, strict=True)), channels=channels)

    def likeness(choice: tuple[Backbone, tuple[bool, ...]]) -> int:
        expected = on_meta(choice).state_dict()
        fitting = [name for name, value in expected.items() if name in weights and weights[name].shape == value.shape]
        return 2 * len(fitting) - len(expected)

    with_inputs = product(choices, product((False, True), repeat=len(inputs)))
    return on_meta(max(with_inputs, key=likeness)).to_empty(device="cpu")


def _channels(weights: Mapping[str, Tensor], patch_size: int) -> int:
    """Return how many numbers of each pixel `weights` say: an image's 3 where they do not tell."""
    head = weights.get("pixel_head.bias")
    return 3 if head is None or len(head) % patch_size**2 else len(head) // patch_size**2

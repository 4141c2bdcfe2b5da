"""The Python door: networks by the names of the JiT paper, without a manifest.

::

    network = jitkit.build_jit_model("JiT-B/4")
    network = jitkit.load_pretrained_jit("JiT-B/4", "best_model.pth")

Text, tokens, noise and sampling are a pipeline's business: ``jitkit.load_pipeline(checkpoint).generate(...)``.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from jitkit.checkpoints import load_weights
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import UsageError, shown
from jitkit.near_names import did_you_mean
from jitkit.protocols import Backbone
from jitkit.storage.weights import load_into

# Li & He 2025 (arXiv 2511.13720), appendix A: width, blocks, heads, and the bottleneck d' of the patch embedding.
SIZES = {
    "B": {"embed_dim": 768, "depth": 12, "num_heads": 12, "bottleneck_dim": 128},
    "L": {"embed_dim": 1024, "depth": 24, "num_heads": 16, "bottleneck_dim": 128},
    "H": {"embed_dim": 1280, "depth": 32, "num_heads": 16, "bottleneck_dim": 256},
}
PATCH_SIZES = (4, 8, 16, 32)
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

    Whether it takes `x_prev`, `known`, `reading` and `scale` beside `z` follows from the weights; one of the first and the third
    alone, which are as large, is taken for `x_prev`. It is in evaluation mode, on the CPU.
    Raises UsageError as `build_jit_model`, RefusedError for a file with code inside, InputError for a missing or damaged
    file or one whose names, shapes or dtypes are not exactly those of the network; the first few are listed.
    """
    settings, path = jit_settings(model_name, img_size), Path(pretrained_path)
    weights = load_weights(path)
    network = _network_for(settings, weights)
    load_into(network, weights, file=path)
    return network.eval()


def _network_for(settings: Backbone, weights: dict[str, Tensor]) -> nn.Module:
    """Return the network, among those with and without optional inputs, whose tensors are shaped most like `weights`."""

    def num_fitting(flags: dict[str, bool]) -> int:
        with torch.device("meta"):
            expected = settings.build(**flags).state_dict()
        return sum(name in weights and weights[name].shape == value.shape for name, value in expected.items())

    # Those without a reading come first, and of equals the first is taken.
    inputs = ("reading", "x_prev", "known", "scale")
    choices = [dict(zip(inputs, flags, strict=True)) for flags in product((False, True), repeat=len(inputs))]
    with torch.device("meta"):
        network = settings.build(**max(choices, key=num_fitting))
    return network.to_empty(device="cpu")

"""Networks by their published names, without a manifest.

::

    network = jitkit.build_jit_model("JiT-B/4")
    network = jitkit.load_pretrained_jit("JiT-B/4", "best_model.pth")

For texts, use ``jitkit.load(model).generate()``.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from jitkit.checkpoints.weights import load_weights
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.errors import UsageError, did_you_mean, shown
from jitkit.protocols import PublishedBackbone
from jitkit.storage.weights import load_into


def build_jit_model(model_name: str = "JiT-B/4", img_size: int = 64, predict_clean: bool = True) -> nn.Module:
    """Return the randomly initialized network of that name; the weights follow torch's global generator.

    It maps `z` [B, 3, img_size, img_size] and `t` [B] in [0, 1] (0 is noise) to an image [B, 3, img_size, img_size]
    float32, the estimate of the clean image. Raises UsageError for an unknown name, an `img_size` that does not fit,
    and ``predict_clean=False``: the prediction target is a property of the objective, not of the network.
    """
    if not predict_clean:
        expected = "True: the prediction target belongs to the objective, not to the network"
        hint = 'Train with prediction = "v" or "eps" in the table [objective] of a manifest.'
        raise UsageError("predict_clean=False", expected, hint=hint)
    return _find(model_name).from_model_name(model_name, img_size).build()


def load_pretrained_jit(model_name: str, pretrained_path: str | Path, img_size: int = 64) -> nn.Module:
    """Return the network of that name with the weights of a `.pth` (key `model_state_dict`) or `.safetensors` file.

    Optional inputs and output channels follow from the weights, other options from the manifest in or next to the file;
    see `PublishedBackbone.matching`. The network is in evaluation mode on the CPU. Raises UsageError like
    `build_jit_model`, RefusedError for a file with code in it, and InputError for a missing or damaged file or one whose
    names, shapes or dtypes differ from those of the network; the first few differences are listed. Weights with a manifest
    must have the SHA-256 that it states.
    """
    backbone, path = _find(model_name), Path(pretrained_path)
    backbone.from_model_name(model_name, img_size)  # before anything is read
    weights, manifest = load_weights(path)
    options = None if manifest is None else manifest.backbone.options
    network = backbone.matching(model_name, img_size, weights, options)
    load_into(network, weights, file=path)
    return network.eval()


def _find(model_name: str) -> type[PublishedBackbone]:
    """Return the installed backbone that has a published size of this name."""
    registry, names = Registry(create_plugin_manager()), list[str]()
    for name in registry.catalog("backbone").names():
        component = registry.component("backbone", name)
        if issubclass(component, PublishedBackbone):
            if model_name in component.model_names():
                return component
            names += component.model_names()
    raise UsageError(
        f"model {shown(model_name)}", f"one of {', '.join(names)}", hint=did_you_mean(str(model_name), names)
    )

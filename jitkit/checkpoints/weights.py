"""Reading weights, and the manifest that came with them, from files that need not be checkpoints of jitkit."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from jitkit.checkpoints.exported import SUFFIX, find_weights_manifest, read_weights
from jitkit.checkpoints.format import StateDict, checked, read_pth
from jitkit.manifest.reader import parse_manifest, read_manifest
from jitkit.manifest.schema import Manifest


def load_weights(path: Path, *, ema: bool = False) -> StateDict:
    """Return the weights in a `.pth` (key `model_state_dict`, or the first average) or `.safetensors` file.

    Raises InputError and RefusedError as `open_model` does.
    """
    if path.suffix == SUFFIX:
        return read_weights(path)[0]
    document = read_pth(path)
    averages = checked(document, "ema_state_dict", path) if ema else {}
    return cast(StateDict, next(iter(averages.values())) if averages else checked(document, "model_state_dict", path))


def manifest_of(path: Path) -> Manifest | None:
    """Return the manifest that came with the weights in a `.pth` or `.safetensors` file, or None."""
    if path.suffix == SUFFIX:
        home = find_weights_manifest(path)
        return None if home is None else read_manifest(home)
    text = read_pth(path).get("manifest")
    return parse_manifest(text, f"{path} (manifest)") if isinstance(text, str) else None

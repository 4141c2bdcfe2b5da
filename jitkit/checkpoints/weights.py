"""Weights in `.safetensors` and `.pth` files, and the manifest that belongs to them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

import torch

from jitkit.checkpoints.format import Checkpoint, StateDict, checked, read_pth
from jitkit.errors import InputError, RefusedError
from jitkit.files import member_path
from jitkit.filesystem import is_file, matching, open_regular, real_path
from jitkit.manifest.reader import parse_manifest, read_manifest
from jitkit.manifest.schema import Manifest
from jitkit.manifest.source import ManifestSource
from jitkit.storage.weights import read_safetensors

SUFFIX = ".safetensors"
SCHEDULE_PREFIX = "schedule:"  # of the names of a learned schedule's tensors, stored with the network's weights


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


def read_exported(weights: Path) -> Checkpoint:
    """Return an exported model as a checkpoint without averages, optimizer or held-out windows.

    Raises InputError for weights that are damaged or have no manifest, and RefusedError unless their SHA-256 is the one in
    the manifest.
    """
    home = require_manifest(weights)
    manifest = read_manifest(home)
    require_sha256(weights, str(manifest.weights.sha256))
    network, schedule = read_weights(weights)
    loss = manifest.weights.metrics.get("validation.loss")
    return Checkpoint(
        model_state_dict=network,
        ema_state_dict={},
        optimizer_state_dict=None,
        epoch=0,
        step=manifest.weights.steps or 0,
        loss=loss,
        best_loss=loss,
        rng={},
        manifest=ManifestSource.read(home).text,
        tokenizer={},
        validation_tokens=torch.empty(0, 0, dtype=torch.int64),
        data={"origin": manifest.weights.trained_on or "unknown"},
        threads=1,
        execution={"device": manifest.weights.hardware or "unknown"},
        versions={},
        schedule_state_dict=schedule,
    )


def read_weights(path: Path) -> tuple[StateDict, StateDict]:
    """Return the network's weights and the schedule's learned state in a `.safetensors` file."""
    tensors = read_safetensors(path)
    learned = [name for name in tensors if name.startswith(SCHEDULE_PREFIX)]
    schedule = {name.removeprefix(SCHEDULE_PREFIX): tensors.pop(name) for name in learned}
    return tensors, schedule


def require_manifest(weights: Path) -> Path:
    """Return the manifest that names `weights`. Raises InputError if there is none."""
    home = find_weights_manifest(weights)
    if home is None:
        expected = "a manifest (.toml) in this folder or the one above that names them"
        raise InputError("weights without a manifest", expected, file=weights)
    return home


def find_weights_manifest(weights: Path) -> Path | None:
    """Return the manifest that names `weights` as `weights.file`, in the same folder or the one above; None without one."""
    if not is_file(weights):
        raise InputError("no such file", "weights (.safetensors)", file=weights)
    folder = real_path(weights).parent
    manifests = (path for place in (folder, folder.parent) for path in matching(place, "*.toml"))
    names = ((path, weights_name(path)) for path in manifests)
    return next((path for path, name in names if name and _is_member(weights, path.parent, name)), None)


def _is_member(path: Path, folder: Path, name: str) -> bool:
    """Return whether `path` is the file that `name` means in `folder`."""
    try:
        return real_path(member_path(folder, name)) == real_path(path)
    except RefusedError:
        return False


def weights_name(manifest: Path) -> str | None:
    """Return the `weights.file` of a TOML file, or None."""
    weights = ManifestSource.read(manifest).parse().get("weights")
    name = weights.get("file") if isinstance(weights, dict) else None
    return name if isinstance(name, str) else None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises InputError if it cannot be read."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sha256(path: Path, expected: str) -> None:
    """Raise RefusedError unless the file's SHA-256 is `expected` (64 hexadecimal digits)."""
    if (found := sha256_of(path)) != expected:
        raise RefusedError(found, expected, file=path, field="sha256")

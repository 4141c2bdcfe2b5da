"""The one place that writes and reads `.pth` and `.safetensors`.

A `.pth` is one file that describes itself: weights, averages, optimizer, place in the run, manifest, tokenizer and
held-out windows. It holds tensors and plain values only, so that reading it never runs code: `torch.load` with
`weights_only=True` and an empty allow-list, after `check_archive`, and never another way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from jitkit.assembly import Components, assemble, resolve
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry
from jitkit.errors import InputError, ManifestError, PluginError, RefusedError, shown
from jitkit.files import Files
from jitkit.manifest.reader import parse_manifest, read_manifest
from jitkit.manifest.schema import Manifest
from jitkit.manifest.source import ManifestSource
from jitkit.pipeline import Pipeline
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.storage.atomic import atomic_write, require_space
from jitkit.storage.checkpoint_fields import ADDED_LATER, FIELD_CHECKS
from jitkit.storage.torch_archive import check_archive
from jitkit.storage.weights import load_into, read_safetensors, require_fit, require_sha256

FORMAT = 1
OF_SCHEDULE = "schedule:"  # before the names of what a schedule learned, beside a network's weights in one .safetensors

StateDict = dict[str, Tensor]
Note = Callable[[str], None]


@dataclass
class Checkpoint:
    """A run at the end of a step. The fields are the keys of the file, which has `format` beside them."""

    model_state_dict: StateDict
    ema_state_dict: dict[str, StateDict]  # decay, as text -> averaged weights; the first is the one to use
    optimizer_state_dict: dict[str, Any] | None  # None: the weights alone, nothing to resume from
    epoch: int  # the epoch that the step lies in, from 1; 0 before the first step
    step: int  # optimizer steps taken
    loss: float | None  # validation loss at this step; None where it was not measured
    best_loss: float | None  # lowest validation loss so far
    rng: StateDict  # states of torch's global generators: "cpu", "cuda"
    manifest: str  # the resolved manifest, TOML
    tokenizer: dict[str, bytes]  # the files that the manifest's tokenizer and codec name
    validation_tokens: Tensor  # [N, L] int64, the held-out windows
    data: dict[str, str]  # "fingerprint" of the documents and their split, "origin" in words; "initial": whose weights
    threads: int  # of torch, when it was written
    execution: dict[str, str]  # "device", "precision", "compile" as they came out
    versions: dict[str, str]  # "jitkit", "torch" and the distributions of the plugins
    schedule_state_dict: StateDict = field(default_factory=dict)  # empty: a schedule that does not learn

    @property
    def num_bytes(self) -> int:
        """Size of the tensors, which is nearly that of the file."""
        states = [
            self.model_state_dict,
            *self.ema_state_dict.values(),
            self.optimizer_state_dict,
            self.validation_tokens,
            self.schedule_state_dict,
        ]
        return sum(tensor.nbytes for tensor in _tensors(states))


# ------------------------------------------------------------------------------------------------ writing


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, whole or not at all, and read it back once against its checksums.

    Raises ResourceError when there is no room or the place cannot be written; what was at `path` is intact then.
    """
    needs = checkpoint.num_bytes + 2**20
    require_space(path, needs)
    document: dict[str, Any] = {"format": FORMAT}
    document |= {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    document["tokenizer"] = {
        name: torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
        for name, content in checkpoint.tokenizer.items()
    }
    with atomic_write(path, needs=needs) as file:
        try:
            torch.save(document, file)
        except RuntimeError as error:  # raised while torch closes the archive, over the reason why it could not write
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise
    check_archive(path)


# ------------------------------------------------------------------------------------------------ reading


def load_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a `.pth` file, checked; tensors on the CPU, mapped from the file.

    The `.safetensors` file of a model that `jitkit export` wrote is a checkpoint without averages, optimizer and held-out
    windows; the manifest beside or above it says the rest. Raises InputError for a file that is missing, damaged,
    something else or of a newer format, RefusedError for one that holds code, would take more memory than its size or has
    another SHA-256 than its manifest says.
    """
    if path.suffix == ".safetensors":
        return _exported(path)
    document = _read_pth(path)
    if "format" not in document:
        raise InputError(
            f"a file with the keys {shown(sorted(map(str, document))[:8])}",
            "a checkpoint written by jitkit",
            file=path,
            hint="Weights alone are read by jitkit.load_pretrained_jit.",
        )
    if document["format"] != FORMAT:
        raise InputError(
            f"format {shown(document['format'])}", f"format {FORMAT}", file=path, hint="A newer jitkit may read it."
        )
    values = {name: _checked(ADDED_LATER | document, name, path) for name in FIELD_CHECKS}
    values["validation_tokens"] = values["validation_tokens"].clone()  # small, and kept longer than the file is open
    values["tokenizer"] = {name: bytes(content.numpy()) for name, content in values["tokenizer"].items()}
    return Checkpoint(**values)


def load_weights(path: Path, *, ema: bool = False) -> StateDict:
    """Return the weights in a `.pth` (key `model_state_dict`, or the first average) or `.safetensors` file.

    Raises InputError and RefusedError as `load_checkpoint` does.
    """
    if path.suffix == ".safetensors":
        return _network_weights(read_safetensors(path))
    document = _read_pth(path)
    if ema:
        averages = _checked(document, "ema_state_dict", path)
        if averages:
            return cast(StateDict, next(iter(averages.values())))
    return cast(StateDict, _checked(document, "model_state_dict", path))


def manifest_of(path: Path) -> Manifest | None:
    """Return the manifest that came with the weights in a `.pth` or `.safetensors` file; None for weights alone."""
    if path.suffix == ".safetensors":
        home = _find_manifest(path)
        return None if home is None else read_manifest(home)
    text = _read_pth(path).get("manifest")
    return parse_manifest(text, f"{path} (manifest)") if isinstance(text, str) else None


def components_of(
    checkpoint: Checkpoint, path: Path, manager: PluginManager | None = None, overrides: Sequence[str] = ()
) -> Components:
    """Return the components that a checkpoint's own manifest names, its files embedded.

    `overrides` ("sampler.gamma=2") are laid over the manifest. Raises PluginError, in place of what `resolve` raises, where
    plugins are missing that were there when the checkpoint was written.
    """
    manager = manager or create_plugin_manager()
    manifest = parse_manifest(checkpoint.manifest, f"{path} (manifest)", overrides)
    home = _manifest_of(path).parent if path.suffix == ".safetensors" else path.parent
    try:
        return resolve(manifest, Registry(manager), Files(home, embedded=checkpoint.tokenizer))
    except ManifestError as error:
        missing = sorted(checkpoint.versions.keys() - versions_in_use(manager).keys())
        if not missing:
            raise
        listed = ", ".join(f"{name} {checkpoint.versions[name]}" for name in missing)
        hint = f"It was written with {listed}, which is not installed here."
        raise PluginError(problems=[replace(problem, hint=hint) for problem in error.problems]) from error


def pipeline_of(
    checkpoint: Checkpoint,
    path: Path,
    *,
    device: str | torch.device = "cpu",
    ema: bool = True,
    manager: PluginManager | None = None,
    overrides: Sequence[str] = (),
    note: Note = warnings.warn,
) -> Pipeline:
    """Return the model in a checkpoint that was read from `path`: see `pipeline_from_checkpoint`."""
    pipeline = assemble(components_of(checkpoint, path, manager, overrides), device=device)
    averages = list(checkpoint.ema_state_dict.values())
    load_into(pipeline.network, averages[0] if ema and averages else checkpoint.model_state_dict, file=path)
    restore_schedule(pipeline.denoiser.schedule, checkpoint.schedule_state_dict, path)
    return pipeline.ready(note)


def pipeline_from_checkpoint(
    path: Path,
    device: str | torch.device = "cpu",
    *,
    ema: bool = True,
    manager: PluginManager | None = None,
    overrides: Sequence[str] = (),
    note: Note = warnings.warn,
) -> Pipeline:
    """Return the model in a checkpoint, ready to use: its first averaged weights, or the raw ones without `ema`.

    It runs in the precision that its manifest and this machine call for, see `jitkit.execution`; `note` is told where it
    cannot be compiled as the manifest asks.

    `path` may also be the `.safetensors` file of a folder that `jitkit export` made: the manifest beside it says the rest.
    `manager` holds the plugins that the manifest's names are looked up in (the installed ones when None); `overrides`
    ("sampler.gamma=2") are laid over the manifest. Raises what `load_checkpoint` and `assemble` raise, and InputError
    when the weights do not fit the network.
    """
    checkpoint = load_checkpoint(path)
    return pipeline_of(checkpoint, path, device=device, ema=ema, manager=manager, overrides=overrides, note=note)


def _exported(path: Path) -> Checkpoint:
    """Return a model that `jitkit export` wrote: weights and recipe, and nothing of its training."""
    home = _manifest_of(path)
    manifest = read_manifest(home)
    require_sha256(path, str(manifest.weights.sha256))
    tensors = read_safetensors(path)
    loss = manifest.weights.metrics.get("validation.loss")
    return Checkpoint(
        model_state_dict=_network_weights(tensors),
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
        schedule_state_dict=_schedule_state(tensors),
    )


def _manifest_of(weights: Path) -> Path:
    """Return the manifest beside or above exported weights that names them in `[weights]`; InputError without one."""
    home = _find_manifest(weights)
    if home is None:
        raise InputError("weights alone", "a manifest (.toml) beside them whose weights.file names them", file=weights)
    return home


def _find_manifest(weights: Path) -> Path | None:
    if not weights.is_file():
        raise InputError("no such file", "weights (.safetensors)", file=weights)
    near = weights.resolve().parent
    files = (file for folder in (near, near.parent) for file in sorted(folder.glob("*.toml")))
    return next((file for file in files if _weights_file(file) == weights.resolve()), None)


def _weights_file(manifest: Path) -> Path | None:
    """Return the file that a TOML file names as `weights.file`; None for one that names none, a manifest or not."""
    weights = ManifestSource.read(manifest).parse().get("weights")
    name = weights.get("file") if isinstance(weights, dict) else None
    return (manifest.parent / name).resolve() if isinstance(name, str) else None


def restore_schedule(schedule: NoiseSchedule | None, state: StateDict, path: Path) -> None:
    """Let a schedule that learns go on from the state in a file; any other has none.

    Raises InputError where the file holds no state for it, or one that does not fit.
    """
    if not isinstance(schedule, LearnedSchedule):
        return
    key = "schedule_state_dict"
    if not state:
        raise InputError(
            "nothing",
            "what the manifest's schedule learned in training",
            file=path,
            field=key,
            hint="Weights that were trained under a schedule that does not learn are used with that one.",
        )
    expected, found = ({f"{key}.{name}": value for name, value in of.items()} for of in (schedule.state_dict(), state))
    require_fit(expected, found, file=path)
    schedule.load_state_dict(state)


def schedule_tensors(pipeline: Pipeline) -> StateDict:
    """Return what a pipeline's schedule learned, under the names that it has in a `.safetensors` file."""
    schedule = pipeline.denoiser.schedule
    learned = schedule.state_dict() if isinstance(schedule, LearnedSchedule) else {}
    return {OF_SCHEDULE + name: value for name, value in learned.items()}


def _network_weights(tensors: Mapping[str, Tensor]) -> StateDict:
    return {name: value for name, value in tensors.items() if not name.startswith(OF_SCHEDULE)}


def _schedule_state(tensors: Mapping[str, Tensor]) -> StateDict:
    return {name.removeprefix(OF_SCHEDULE): value for name, value in tensors.items() if name.startswith(OF_SCHEDULE)}


def versions_in_use(manager: PluginManager) -> dict[str, str]:
    """Return the versions that a checkpoint remembers: jitkit, torch and every distribution of a plugin."""
    plugins = {origin.distribution: origin.version for origin in manager.origins.values()}
    return {**plugins, "jitkit": version("jitkit"), "torch": str(torch.__version__)}


# ------------------------------------------------------------------------------------------------ checks


def _read_pth(path: Path) -> dict[str, Any]:
    check_archive(path)
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        # mapped, not read: a reader of weights leaves the optimizer's gigabytes on the disk
        document = None if unsafe else torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises seven kinds of exception here, and advises to turn safety off
        raise InputError("content that torch cannot read", "tensors and plain values only", file=path) from error
    if unsafe:
        names = ", ".join(sorted(unsafe)[:3])
        raise RefusedError(f"pickle global {names}", "tensors and plain values only", file=path)
    if not isinstance(document, dict):
        raise InputError(f"a {type(document).__name__}", "a dictionary", file=path)
    for tensor in _tensors(document):
        plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided and not tensor.is_quantized
        if not plain or tensor.device.type != "cpu":
            kind = f"{type(tensor).__name__}, {tensor.layout}, on {tensor.device}"
            raise RefusedError(f"a tensor of another kind ({kind})", "plain arrays", file=path)
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            held = tensor.untyped_storage().nbytes()
            raise RefusedError(
                f"a tensor of shape {shown(tuple(tensor.shape))} over {held} bytes", "all of its numbers", file=path
            )
    return document


def _tensors(value: Any) -> list[Tensor]:
    """Return the tensors in nested containers; each container is looked into once, however often it is named."""
    tensors, waiting, seen = [], [value], set[int]()
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            tensors.append(item)
        elif isinstance(item, dict | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            waiting += item.values() if isinstance(item, dict) else item
    return tensors


def _checked(document: dict[str, Any], name: str, path: Path) -> Any:
    if name not in document:
        raise InputError("no such key", "a file written by jitkit", file=path, field=name)
    is_right, expected = FIELD_CHECKS[name]
    if not is_right(document[name]):
        raise InputError(f"a {type(document[name]).__name__} of another form", expected, file=path, field=name)
    return document[name]

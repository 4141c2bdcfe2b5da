"""Opening a model from a checkpoint file, a run folder, an exported folder, the zoo, or the Hugging Face Hub."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from jitkit.assembly import Components, assemble, resolve
from jitkit.checkpoints.format import Checkpoint, StateDict, read_checkpoint, versions_in_use
from jitkit.checkpoints.run_index import is_run_folder, model_in_run
from jitkit.checkpoints.weights import SUFFIX, read_exported, require_manifest, weights_name
from jitkit.discovery.loader import PluginManager, create_plugin_manager
from jitkit.discovery.registry import Registry
from jitkit.errors import InputError, ManifestError, PluginError, did_you_mean, shown
from jitkit.execution.device import find_device
from jitkit.files import Files, hint_inside
from jitkit.filesystem import exists, is_folder, real_path
from jitkit.hub.cache import hub_cache
from jitkit.hub.download import downloaded
from jitkit.hub.reference import is_reference, parse_reference
from jitkit.manifest.reader import parse_manifest, read_manifest
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.storage.exported_folder import MANIFEST
from jitkit.storage.file_content import FileContent, read_file
from jitkit.storage.torch_archive import kind_without_archive
from jitkit.storage.weights import load_into, require_fit, require_form
from jitkit.zoo.index import zoo_folders, zoo_index

BEST = "best_model.pth"  # of a run folder
EXPECTED_MODEL = (
    "a model: a .pth or .safetensors file, a run folder, an exported folder, a zoo id with weights, or hf:owner/name"
)
WEIGHTS_KEY = "weights.file"


@dataclass(frozen=True, repr=False)
class OpenedModel:
    """A model file that was read once, and what can be built from it."""

    path: Path
    checkpoint: Checkpoint
    manager: PluginManager
    file: FileContent | None = None  # what the checkpoint was read from

    def __repr__(self) -> str:
        return f"OpenedModel({str(self.path)!r}, step {self.checkpoint.step:,})"

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of what was read, computed at most once."""
        return (self.file or read_file(self.path)).sha256

    @property
    def own_folder(self) -> Path | None:
        """The folder of the file, for results about the model; None in a zoo or in the cache, whose files stay as they are."""
        above = real_path(self.path).parents
        is_shared = any(real_path(folder) in above for folder in (*zoo_folders(self.manager), hub_cache()))
        return None if is_shared else self.path.parent

    def weights(self, *, ema: bool = True) -> StateDict:
        """Return the first averaged weights, or the raw ones if there are none or `ema` is false."""
        averages = list(self.checkpoint.ema_state_dict.values())
        return averages[0] if ema and averages else self.checkpoint.model_state_dict

    def components(self, overrides: Sequence[str] = ()) -> Components:
        """Return the components of the model's own manifest, with `overrides` ("sampler.gamma=2") applied.

        Raises what `resolve` raises, as PluginError if plugins that the model was saved with are not installed.
        """
        manifest = parse_manifest(self.checkpoint.manifest, f"{self.path} (manifest)", overrides)
        home = require_manifest(self.path).parent if self.path.suffix == SUFFIX else self.path.parent
        try:
            return resolve(manifest, Registry(self.manager), Files(home, embedded=self.checkpoint.tokenizer))
        except ManifestError as error:
            missing = sorted(self.checkpoint.versions.keys() - versions_in_use(self.manager).keys())
            if not missing:
                raise
            listed = ", ".join(f"{name} {self.checkpoint.versions[name]}" for name in missing)
            reason = "JITKIT_PLUGINS excludes" if self.manager.excluded.issuperset(missing) else "is not installed"
            hint = f"The model was saved with {listed}, which {reason}."
            raise PluginError(problems=[replace(problem, hint=hint) for problem in error.problems]) from error

    def pipeline(
        self,
        device: str | torch.device = "cpu",
        *,
        ema: bool = True,
        overrides: Sequence[str] = (),
        note: Callable[[str], None] = warnings.warn,
    ) -> Pipeline:
        """Return the pipeline, ready to use in the precision that suits its manifest and this machine.

        `note` receives a message if the network cannot be compiled as the manifest requests. Raises what `find_device`,
        `components`, and `assemble` raise, and InputError if the weights do not fit the network.
        """
        weights = self.weights(ema=ema)

        def require(network: nn.Module) -> None:
            require_form(network.state_dict(), weights, file=self.path)

        components = self.components(overrides)
        pipeline = assemble(components, device=find_device(str(device)), require=require, trained=True)
        load_into(pipeline.network, weights, file=self.path)
        restore_schedule(pipeline.denoiser.schedule, self.checkpoint.schedule_state_dict, self.path)
        return pipeline.prepared(note, self.checkpoint.execution)


def open_model(model: str | Path, manager: PluginManager | None = None, progress: Progress = silent) -> OpenedModel:
    """Read the model that `find_model` finds. `manager` holds the plugins to use, by default the installed ones.

    Raises InputError for a file that is missing, damaged, something else or of a newer format, and RefusedError for one
    that holds code, is larger in memory than on disk, or has a SHA-256 other than the one in its manifest.
    """
    manager = manager or create_plugin_manager()
    path = find_model(model, manager, progress)
    checkpoint, file = read_exported(path) if path.suffix == SUFFIX else read_checkpoint(path)
    return OpenedModel(path, checkpoint, manager, file)


def find_model(model: str | Path, manager: PluginManager | None = None, progress: Progress = silent) -> Path:
    """Return the file of a model, or its checkpoint folder.

    `model` is a `.pth` or `.safetensors` file, a checkpoint folder, a run folder, an exported folder, the id of a zoo
    model, a manifest that names weights, or a model of the Hub ("hf:owner/name"), which is downloaded if necessary. Raises
    InputError if there is no such file, what reading a manifest raises, and what `downloaded` raises.
    """
    if is_reference(model):
        return _model_in(downloaded(parse_reference(model), progress))
    path = Path(model)
    if is_run_folder(path):
        return _model_in(path)
    if is_folder(path) or path.suffix in {".pth", SUFFIX}:
        return path
    if path.suffix == ".toml" and exists(path):
        return _weights_of(path, str(model))
    if exists(path):
        if (found := kind_without_archive(path)) is not None:
            raise InputError(found, EXPECTED_MODEL, file=path)
        return path
    index = zoo_index(manager or create_plugin_manager(), str(model))
    if str(model) not in index:
        found, hint = f"no such file and no zoo id {shown(str(model))}", did_you_mean(str(model), index)
        raise InputError(found, EXPECTED_MODEL, file=model, hint=hint)
    return _weights_of(index[str(model)], str(model))


def _weights_of(manifest: Path, name: str) -> Path:
    """Return the weights that a manifest names. Raises InputError if it names none; `name` is what the user calls it."""
    weights = read_manifest(manifest).weights.file
    if weights is None:
        expected, hint = "one that names trained weights", f"Train it: jitkit train {name}"
        raise InputError("a manifest without weights", expected, file=name, field=WEIGHTS_KEY, hint=hint)
    path = Files(manifest.parent).path(weights, field=WEIGHTS_KEY)
    if not exists(path):
        raise InputError("no such file", "the weights that the manifest names", file=path, field=WEIGHTS_KEY)
    return path


def load_pipeline(
    model: str | Path,
    device: str | torch.device = "cpu",
    *,
    ema: bool = True,
    overrides: Sequence[str] = (),
    manager: PluginManager | None = None,
    note: Callable[[str], None] = warnings.warn,
) -> Pipeline:
    """Return the pipeline of any model that `find_model` finds, ready to `generate`.

    It has the averaged weights, or the raw ones if there are none or `ema` is false. Raises what `open_model` and
    `OpenedModel.pipeline` raise.
    """
    return open_model(model, manager).pipeline(device, ema=ema, overrides=overrides, note=note)


def _model_in(folder: Path) -> Path:
    """Return the model in a run folder, or the weights in an exported one. Raises InputError for other folders.

    The model of a run is the best one, or the newest complete checkpoint of a run that has no best one yet.
    """
    best, manifest = folder / BEST, folder / MANIFEST
    if exists(best):
        return best
    if (newest := model_in_run(folder)) is not None:
        return newest
    if not _names_weights(folder):
        expected, hint = f"{BEST}, or a {MANIFEST} that names weights", hint_inside(folder, _holds_model)
        raise InputError("a folder without a model", expected, file=folder, hint=hint)
    return _weights_of(manifest, str(manifest))


def _names_weights(folder: Path) -> bool:
    return exists(folder / MANIFEST) and weights_name(folder / MANIFEST) is not None


def _holds_model(folder: Path) -> bool:
    return exists(folder / BEST) or model_in_run(folder) is not None or _names_weights(folder)


def require_schedule_fit(schedule: NoiseSchedule | None, state: StateDict, path: Path) -> None:
    """Raise InputError if the state of a schedule that learns, read from `path`, is empty or does not fit."""
    if not isinstance(schedule, LearnedSchedule):
        return
    key = "schedule_state_dict"
    if not state:
        hint = "Use the weights with the schedule that they were trained with."
        raise InputError("nothing", "the learned state of the manifest's schedule", file=path, field=key, hint=hint)
    expected, found = ({f"{key}.{name}": value for name, value in of.items()} for of in (schedule.state_dict(), state))
    require_fit(expected, found, file=path)


def restore_schedule(schedule: NoiseSchedule | None, state: StateDict, path: Path) -> None:
    """Load the state, read from `path`, of a schedule that learns. Raises InputError if it is empty or does not fit."""
    require_schedule_fit(schedule, state, path)
    if isinstance(schedule, LearnedSchedule):
        schedule.load_state_dict(state)

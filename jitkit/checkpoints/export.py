"""Exporting a model as a folder to share: its weights, and everything needed to use them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.torch import save

from jitkit.checkpoints.format import Checkpoint, StateDict
from jitkit.checkpoints.local_paths import described_without_folders, without_folders
from jitkit.checkpoints.model_card import Samples, draw_samples, model_card, trained_on
from jitkit.checkpoints.open import OpenedModel
from jitkit.checkpoints.weights import SCHEDULE_PREFIX, require_sha256
from jitkit.errors import UsageError, counted, shown
from jitkit.files import member_path, require_members
from jitkit.filesystem import is_file
from jitkit.manifest.schema import LANGUAGE, LICENSE, Weights
from jitkit.manifest.writer import manifest_to_toml
from jitkit.pipeline import Pipeline
from jitkit.progress import Progress, silent
from jitkit.protocols import LearnedSchedule
from jitkit.storage.atomic import folder_in_use, make_folder, write_file
from jitkit.storage.atomic_folder import atomic_folder, undo_unfinished
from jitkit.storage.exported_folder import FILM_STRIP, MANIFEST, README, SUMS, WEIGHTS, read_sums, sums_of
from jitkit.storage.file_content import read_file


@dataclass(frozen=True)
class CardOptions:
    """What a model card states and shows besides the facts of the run."""

    samples: int = 3
    license: str | None = None  # default: the manifest's
    languages: tuple[str, ...] = ()  # ISO 639 codes; default: the manifest's

    def __post_init__(self) -> None:
        """Raise UsageError for a license or a language that a manifest cannot state."""
        if self.license is not None and not re.fullmatch(LICENSE, self.license):
            raise UsageError(shown(self.license), "an id, such as mit or cc-by-4.0", field="--license")
        for code in self.languages:
            if not re.fullmatch(LANGUAGE, code):
                raise UsageError(shown(code), "a code of two or three letters, such as en", field="--language")


def export_model(
    model: OpenedModel,
    folder: Path,
    *,
    bf16: bool = False,
    card: CardOptions = CardOptions(),
    progress: Progress = silent,
) -> dict[str, str]:
    """Write a model into `folder` and return the SHA-256 of each file by name.

    The weights are the first averaged ones, rounded to half the size with `bf16`. `sha256sum -c SHA256SUMS` verifies the
    folder. The model is built and checked before anything is written, and a kill leaves no part of it. Raises what
    `exported_model` and `write_exported` raise.
    """
    with folder_in_use(folder):  # a place that cannot be written is found before the samples are drawn
        contents = exported_model(model, bf16=bf16, card=card, progress=progress)
        return write_exported(contents, folder)


def exported_model(
    model: OpenedModel, *, bf16: bool = False, card: CardOptions = CardOptions(), progress: Progress = silent
) -> dict[str, bytes]:
    """Return the files of an exported folder, except SHA256SUMS, with samples and a film strip for its model card."""
    model = _rounded(model) if bf16 else model
    pipeline = model.pipeline()
    samples = draw_samples(pipeline, card.samples, progress) if card.samples else None
    return exported_files(model, pipeline, bf16=bf16, card=card, samples=samples)


def files_to_share(
    model: OpenedModel, *, bf16: bool = False, card: CardOptions = CardOptions(), progress: Progress = silent
) -> dict[str, bytes]:
    """Return the files of `exported_model`, or those of a model that is in an exported folder already, as they are.

    README.md may have been edited there. Raises UsageError for options that would change such a folder, and RefusedError
    if another file of it was changed.
    """
    folder = model.path.parent
    if not (model.path.name == WEIGHTS and read_sums(folder)):
        return exported_model(model, bf16=bf16, card=card, progress=progress)
    if bf16 or card != CardOptions():
        hint = "Push what it was exported from, or export it again."
        raise UsageError("options for an exported folder, which is sent as it is", "none", file=folder, hint=hint)
    model.pipeline()  # raises an error unless all is there and fits
    return read_exported_files(folder)


def read_exported_files(folder: Path) -> dict[str, bytes]:
    """Return the files of an exported folder, except SHA256SUMS. Raises RefusedError if one but README.md was changed."""
    files = {}
    for name, digest in read_sums(folder).items():
        file = read_file(member_path(folder, name, field=SUMS))
        if name != README:
            require_sha256(file, digest)
        files[name] = bytes(file.data)
    return files


def write_exported(contents: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    """Write an exported folder, with SHA256SUMS, and return the SHA-256 of each file by name.

    An earlier export is replaced. Raises UsageError if a new file would replace another file, or an exported one that was
    changed since.
    """
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}
    undo_unfinished(folder)
    with atomic_folder(folder, last=MANIFEST, replaces=unchanged_export(folder)) as new:
        for name, content in {**contents, SUMS: sums_of(digests)}.items():
            path = member_path(new, name, field="tokenizer")
            make_folder(path.parent)
            write_file(path, content)
    return digests


def unchanged_export(folder: Path) -> list[str]:
    """Return the files that an earlier export wrote into `folder` and that still match its SHA256SUMS."""
    listed = read_sums(folder)
    paths = {name: member_path(folder, name) for name in listed}
    unchanged = [name for name, path in paths.items() if is_file(path) and read_file(path).sha256 == listed[name]]
    return [SUMS, *unchanged] if listed else []


def exported_files(
    model: OpenedModel,
    pipeline: Pipeline,
    *,
    bf16: bool = False,
    card: CardOptions = CardOptions(),
    samples: Samples | None = None,
    shared: bool = True,
) -> dict[str, bytes]:
    """Return the files of an exported folder, except SHA256SUMS; `pipeline` is the model, possibly with overrides.

    If they are `shared`, they name the training text, but not the folder that it is in.
    Raises RefusedError if the tokenizer or codec has a file with an unsafe name, or with the name of another file.
    """
    embedded = pipeline.files()
    taken = (WEIGHTS, MANIFEST, README, FILM_STRIP, SUMS)
    require_members(embedded, taken=taken, file=model.path, field="tokenizer")
    weights, components = _weights_file(pipeline, bf16=bf16), model.components()
    manifest, checkpoint = components.manifest, model.checkpoint
    if shared:
        checkpoint = replace(checkpoint, data=described_without_folders(checkpoint.data, manifest))
        manifest = without_folders(manifest)
    described = _described(weights, checkpoint, manifest.weights, card)
    manifest = manifest.model_copy(update={"num_parameters": pipeline.num_parameters, "weights": described})
    text = model_card(replace(components, manifest=manifest), checkpoint, pipeline, model.path.name, samples)
    return {
        WEIGHTS: weights,
        MANIFEST: manifest_to_toml(manifest).encode(),
        README: text.encode(errors="replace"),
        **({FILM_STRIP: samples.film_strip} if samples else {}),
        **embedded,
    }


def _weights_file(pipeline: Pipeline, *, bf16: bool) -> bytes:
    """Return the content of a `.safetensors` file with the network's weights and the state of a learned schedule."""
    network = {
        name: (value.bfloat16() if bf16 and value.is_floating_point() else value).contiguous()
        for name, value in pipeline.network.state_dict().items()
    }
    schedule = pipeline.denoiser.schedule
    learned = schedule.state_dict() if isinstance(schedule, LearnedSchedule) else {}
    return save(network | {SCHEDULE_PREFIX + name: value for name, value in learned.items()})


def _rounded(model: OpenedModel) -> OpenedModel:
    """Return a model whose weights are rounded to bfloat16, so that its samples are those of the exported weights."""

    def rounded(weights: StateDict) -> StateDict:
        return {
            name: value.bfloat16().to(value.dtype) if value.is_floating_point() else value
            for name, value in weights.items()
        }

    checkpoint = model.checkpoint
    averages = {decay: rounded(weights) for decay, weights in checkpoint.ema_state_dict.items()}
    state = rounded(checkpoint.model_state_dict)
    return replace(model, checkpoint=replace(checkpoint, model_state_dict=state, ema_state_dict=averages))


def _described(content: bytes, checkpoint: Checkpoint, known: Weights, card: CardOptions) -> Weights:
    """Return the table `[weights]`. What the manifest of an exported model already states stays."""
    measured = {} if checkpoint.loss is None else {"validation.loss": checkpoint.loss}
    facts = {
        "file": WEIGHTS,
        "sha256": hashlib.sha256(content).hexdigest(),
        "trained_on": trained_on(checkpoint),
        "steps": checkpoint.step or None,
        "hardware": known.hardware or _hardware(checkpoint),
        "license": card.license or known.license,
        "language": card.languages or known.language,
        "metrics": {**known.metrics, **measured},
    }
    return Weights.model_validate({**known.model_dump(), **facts})


def _hardware(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.execution.get('device', 'unknown device')}, {counted(checkpoint.threads, 'thread')}"

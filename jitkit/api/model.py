"""A trained model in Python: it generates texts, scores them, and turns them into pictures and back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jitkit import parallel
from jitkit.api.options import Overrides, ShowProgress, arguments_named, override_texts, shown
from jitkit.api.score import Score, score_text
from jitkit.checkpoints.open import OpenedModel, open_model
from jitkit.discovery.loader import PluginManager
from jitkit.errors import InputError, UsageError
from jitkit.generated import Generated, Texts
from jitkit.pictures.album import in_images
from jitkit.pictures.film_strip import film_strip
from jitkit.pictures.recorder import Recorder, Snapshot, frames_of, stacked, unstacked
from jitkit.pictures.sample_files import NUM_FRAMES
from jitkit.pictures.text_lines import load_font
from jitkit.pipeline import Pipeline
from jitkit.progress import Counter, Progress, silent
from jitkit.recipe import named_as
from jitkit.storage.picture import Picture

BATCH_SIZE = 16  # maximum number of texts sampled together
MAX_SEED = 2**62


@dataclass(frozen=True, repr=False)
class Model:
    """A trained model on one device. `jitkit.load` returns it."""

    opened: OpenedModel
    pipeline: Pipeline
    overrides: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The id in the model's manifest."""
        return self.pipeline.manifest.id

    @property
    def path(self) -> Path:
        """The file that holds the weights."""
        return self.opened.path

    @property
    def step(self) -> int:
        """The training steps behind the weights."""
        return self.opened.checkpoint.step

    @property
    def device(self) -> torch.device:
        """The device that the model runs on."""
        return self.pipeline.device

    @property
    def tokens_per_image(self) -> int:
        """The maximum length of a generated text in tokens."""
        return self.pipeline.codec.capacity

    def __repr__(self) -> str:
        return repr(self.pipeline).replace("Pipeline(", "Model(", 1)

    @arguments_named()
    def generate(
        self,
        n: int = 1,
        *,
        prompt: str | None = None,
        infill: str | None = None,
        temperature: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        progress: ShowProgress = False,
    ) -> Texts:
        """Return a list of `n` texts. The seeds count up from `seed`, and the same seed gives the same text.

        The texts continue a `prompt`, or fill the gaps of an `infill` template: ``[[...]]``, or ``[[12]]`` for 12
        tokens. `temperature` and `steps` replace those of the model's manifest. Raises UsageError for invalid
        arguments, ManifestError for a temperature if the model has none, and InputError for a prompt that does
        not fit.
        """
        with shown(progress) as show:
            batches = self.batches(
                n, prompt=prompt, infill=infill, temperature=temperature, steps=steps, seed=seed, progress=show
            )
            return Texts(text for batch in batches for text in batch)

    def batches(
        self,
        n: int,
        *,
        prompt: str | None = None,
        infill: str | None = None,
        temperature: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        progress: Progress = silent,
        on_snapshot: Callable[[Snapshot], None] | None = None,
    ) -> Iterator[list[Generated]]:
        """Yield the texts of `generate` in batches of at most `batch_size`, as soon as they are sampled.

        `on_snapshot` receives a snapshot of the batch before each step, and one of the final images.
        """
        _require_counts(n, steps, seed)
        pipeline = self._at_temperature(temperature)
        known = pipeline.known_tokens(prompt, infill)
        steps, size = steps or pipeline.sampler.steps, parallel.agreed(pipeline.images_at_once(batch_size))
        num_sharing, starts = parallel.num_sharing(), range(seed, seed + n, size)
        counter = Counter(progress, "sampling", n * steps, num_sharing)

        def sample(start: int) -> list[Tensor]:
            seeds, recorded = range(start, min(start + size, seed + n)), list[Snapshot]()
            receive = recorded.append if on_snapshot and num_sharing > 1 else on_snapshot
            sampler = Recorder(pipeline.sampler, receive) if receive else None
            on_step = counter.per_step(len(seeds))
            tokens, images = pipeline.sample(seeds, known=known, steps=steps, on_step=on_step, sampler=sampler)
            return [tokens, images, *stacked(recorded)]

        for start, (tokens, images, *recorded) in zip(starts, parallel.map_batches(sample, starts), strict=True):
            if on_snapshot:
                for snapshot in unstacked(recorded):
                    on_snapshot(snapshot)
            yield pipeline.texts(range(start, start + len(tokens)), tokens, images)

    @arguments_named()
    def score(self, text: str, *, seed: int = 0, progress: ShowProgress = False) -> Score:
        """Return how many bits the model needs for a text: an upper bound, with the interval of its estimate.

        Raises InputError for an empty text, and for one shorter than an image if the model was trained without padding.
        """
        with shown(progress) as show:
            return score_text(self.pipeline, self.opened.manager, text, seed=seed, progress=show)

    def picture(self, text: str) -> Picture:
        """Return the one image of a short text. Raises InputError if it has more than `tokens_per_image` tokens."""
        return Picture(self.pipeline.codec.encode_bytes(self.pipeline.tokens_of(text)[None])[0])

    @arguments_named()
    def film_strip(
        self,
        *,
        prompt: str | None = None,
        infill: str | None = None,
        temperature: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        frames: int = NUM_FRAMES,
    ) -> Picture:
        """Return a picture of how the text that `generate` returns for these arguments emerges from noise.

        It shows at most `frames` moments, from left to right. Raises the errors of `generate`.
        """
        if type(frames) is not int or frames < 1:
            raise UsageError(repr(frames), "an integer, 1 or more", field="frames")
        snapshots: list[Snapshot] = []
        options = {"prompt": prompt, "infill": infill, "temperature": temperature, "steps": steps, "seed": seed}
        list(self.batches(1, **options, on_snapshot=snapshots.append))  # type: ignore[arg-type]
        found = frames_of(snapshots, 0, frames, self.pipeline)
        strip = film_strip(found, load_font(frame.text for frame in found))
        return Picture(torch.from_numpy(np.array(strip)))

    def encode(self, text: str) -> list[Picture]:
        """Return a text of any length as images, like `jitkit encode`. `decode` returns exactly this text."""
        tokenizer, codec = self.pipeline.tokenizer, self.pipeline.codec
        return list(map(Picture, codec.encode_bytes(in_images(tokenizer.encode(text), codec.capacity, tokenizer))))

    def decode(self, pictures: Picture | Sequence[Picture]) -> str:
        """Return the text of one or more images, up to the first end of text.

        Raises InputError for a wrong size, and UsageError for anything but pictures.
        """
        pictures = [pictures] if isinstance(pictures, Picture) else pictures
        size = self.pipeline.codec.image_size
        for picture in pictures:
            if type(picture) is not Picture:
                hint = "The command jitkit decode reads image files."
                raise UsageError(f"a {type(picture).__name__}", "a Picture", field="pictures", hint=hint)
            if picture.size != (size, size):
                raise InputError(f"{picture.size[0]}x{picture.size[1]} pixels", f"{size}x{size}", field="pictures")
        pixels = [picture.pixels for picture in pictures]
        return self.pipeline.text_of(self.pipeline.codec.decode_bytes(torch.stack(pixels)).flatten()) if pixels else ""

    def _at_temperature(self, temperature: float | None) -> Pipeline:
        if temperature is None:
            return self.pipeline
        with named_as({"objective.temperature": "temperature: objective.temperature"}):
            found = self.opened.components([*self.overrides, f"objective.temperature={temperature!r}"])
        return replace(self.pipeline, denoiser=replace(self.pipeline.denoiser, objective=found.objective))


@arguments_named()
def load(
    model: str | Path,
    device: str | torch.device = "auto",
    *,
    overrides: Overrides = (),
    ema: bool = True,
    manager: PluginManager | None = None,
    note: Callable[[str], None] = warnings.warn,
    progress: ShowProgress = False,
) -> Model:
    """Return a model: a checkpoint, a run folder, an exported folder, a zoo id, or ``hf:owner/name`` of the Hub.

    ::

        model = jitkit.load("jit-nano", overrides={"sampler.gamma": 2})

    `device` is "auto", "cpu", "cuda", "mps", or another name that torch knows; "auto" is a GPU if there is one. With
    `ema=False`, the raw weights are used instead of the averaged ones. `manager` holds the plugins, by default the
    installed ones. `note` receives a message if the network cannot be compiled as its manifest requests. `progress` shows a
    download. Raises JitkitError.
    """
    texts = override_texts(overrides)
    with shown(progress) as show:
        opened = open_model(model, manager, show)
    return Model(opened, opened.pipeline(device, ema=ema, overrides=texts, note=note), tuple(texts))


def _require_counts(n: int, steps: int | None, seed: int) -> None:
    """Raise UsageError for numbers that are not counts, or seeds beyond `MAX_SEED`."""
    for field, value, least in (("n", n, 1), ("steps", steps, 1), ("seed", seed, 0)):
        is_optional = field == "steps" and value is None
        if not is_optional and (type(value) is not int or not least <= value <= MAX_SEED):
            raise UsageError(repr(value), f"an integer, {least} or more", field=field)

"""What metrics measure: one model and the text it has never seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from jitkit.errors import InputError, shown
from jitkit.evaluation.bigrams import Bigrams
from jitkit.evaluation.partial_results import PartialResults
from jitkit.evaluation.recovery import Reconstruction, reconstruct, trajectory_grid
from jitkit.evaluation.reference import Documents, reference_text
from jitkit.evaluation.texts import END_OF_DOCUMENT
from jitkit.evaluation.validation import evaluating
from jitkit.pipeline import Generated, Pipeline
from jitkit.progress import Progress, silent
from jitkit.protocols import Step

END = END_OF_DOCUMENT.decode()


class CannotMeasureError(InputError):
    """A metric needs what this model, or this machine, does not have."""


def batch_size_on(device: torch.device) -> int:
    """Return how many images go through the network at once: on a processor, as many as its caches like."""
    return 16 if device.type == "cpu" else 32


def evenly(rows: Tensor, most: int) -> Tensor:
    """Return at most `most` of the rows [N, ...], evenly spaced."""
    return rows[torch.linspace(0, len(rows) - 1, min(most, len(rows))).round().long()]


def spread(times: tuple[float, ...], num: int) -> tuple[float, ...]:
    """Return `num` of the times, or all where there are fewer, evenly spaced and without the outermost."""
    places = [round((index + 1) * (len(times) + 1) / (num + 1)) - 1 for index in range(num)]
    return tuple(times[place] for place in places) if len(times) > num else times


@dataclass(frozen=True)
class EvaluationContext:
    """A pipeline and its held-out windows; what several metrics need is computed once.

    Every figure follows from the windows and the seed: noise belongs to a window's content, so neither the order of
    windows nor the batch size matters. Raises InputError without a window, or for windows that are no images' worth.
    """

    pipeline: Pipeline
    held_out: Tensor  # [M, L] int64: all held-out windows
    seed: int
    times: tuple[float, ...]  # each in (0, 1)
    num_windows: int  # windows to reconstruct, at most
    batch_size: int = 32
    steps: int | None = None  # of the walks that texts come from noise by, in place of the sampler's own
    documents: Documents | None = None  # of the training text; asked only by metrics that need it
    progress: Progress = silent
    partial: PartialResults = field(
        default_factory=PartialResults
    )  # what an interrupted evaluation of the same had finished

    def __post_init__(self) -> None:
        length = self.pipeline.codec.capacity
        if self.held_out.ndim != 2 or not len(self.held_out):
            raise InputError("no held-out window", "at least one", hint="Name text to measure on: --data PATH")
        if self.held_out.shape[1] != length:
            raise InputError(f"windows of {self.held_out.shape[1]} tokens", f"{length}, which is what an image holds")
        for t in self.times:
            if not 0 < t < 1:
                raise InputError(
                    shown(t),
                    "a time above 0 and below 1",
                    field="eval.times",
                    hint="At 0 nothing of the text is left, and what comes back has nothing to be compared with.",
                )

    @cached_property
    def windows(self) -> Tensor:
        """The windows to reconstruct, [N, L] int64: `num_windows` of the held-out ones, evenly spaced."""
        return evenly(self.held_out, self.num_windows)

    @cached_property
    def counted(self) -> Tensor:
        """The positions of `windows` that are text, [N, L] bool: all but padding. Raises InputError when there are none."""
        counted = self.windows != self.pipeline.tokenizer.pad_id
        if not counted.any():
            raise InputError("held-out windows of nothing but padding", "text")
        return counted

    @cached_property
    def reconstructions(self) -> tuple[Reconstruction, ...]:
        """What comes back of `windows`, one `Reconstruction` for each of `times`, computed when first asked for."""
        schedule = self.pipeline.denoiser.schedule
        walks = [len(self.windows) * (len(trajectory_grid(schedule, t)) - 1) for t in self.times]
        done, total = 0, sum(walks)

        def advance(images: int) -> None:
            nonlocal done
            done += images
            self.progress("recovery", done, total)

        def reconstructed(t: float) -> dict[str, Any]:
            with evaluating(self.pipeline.network):
                return reconstruct(
                    self.pipeline,
                    self.windows,
                    t,
                    seed=self.seed,
                    batch_size=self.batch_size,
                    bigrams=self.bigrams,
                    advance=advance,
                ).as_plain()

        found = []
        for end, t in zip(accumulate(walks), self.times, strict=True):
            found.append(Reconstruction.of_plain(self.partial.get(f"recovery at {t!r}", partial(reconstructed, t))))
            if done < end:  # it was kept
                advance(end - done)
        return tuple(found)

    @cached_property
    def samples(self) -> tuple[Generated, ...]:
        """Texts from noise, as many as there are `windows`; their seeds count up from `seed`."""
        num, steps = len(self.windows), self.steps or self.pipeline.sampler.steps
        samples: list[Generated] = []
        with evaluating(self.pipeline.network):
            for start in range(0, num, self.batch_size):
                seeds = [self.seed + index for index in range(start, min(start + self.batch_size, num))]

                def advance(step: Step, done: int = start, batch: int = len(seeds)) -> None:
                    self.progress("samples", done * steps + batch * (step.index + 1), num * steps)

                samples += self.pipeline.generate(seeds, steps=steps, on_step=advance)
        return tuple(samples)

    @cached_property
    def training_text(self) -> str:
        """The training text, see `reference_text`. Raises CannotMeasureError where it is not at hand."""
        if self.documents is None:
            raise CannotMeasureError("no training text", "the text that the model was trained on", field="documents")
        return reference_text(self.documents)

    @cached_property
    def no_bigrams(self) -> str:
        """Why there is no training text to count pairs in; "" where there is."""
        try:
            self.training_text  # noqa: B018 - read here, and again where it is used
        except CannotMeasureError as error:
            return str(error)
        return ""

    @cached_property
    def bigrams(self) -> Bigrams | None:
        """Pairs of tokens in the training text; None where that is not at hand."""
        if self.no_bigrams:
            return None
        documents = self.training_text.removesuffix(END).split(END)
        tokenizer = self.pipeline.tokenizer
        ids = [token for document in documents for token in (*tokenizer.encode(document), tokenizer.eos_id)]
        return Bigrams(torch.tensor(ids), tokenizer.vocab_size)

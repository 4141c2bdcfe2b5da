"""The input of metrics: a model and held-out text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from jitkit import parallel
from jitkit.errors import InputError, counted, shown
from jitkit.evaluation.partial_results import PartialResults
from jitkit.evaluation.texts import TrainingDocuments, joined_text
from jitkit.generated import Generated
from jitkit.pipeline import Pipeline
from jitkit.progress import Counter, Progress, silent
from jitkit.protocols import DataSource


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and restore its mode afterward."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


T = TypeVar("T")

SAMPLES = "samples"  # the progress label of sampling


class CannotMeasureError(InputError):
    """A metric needs something that this model or this machine does not have."""


class MissingPackageError(CannotMeasureError, exit_code=6):
    """A metric needs a package of an extra that is not installed."""


def evenly_spaced(rows: Tensor, num: int) -> Tensor:
    """Return at most `num` of the rows [N, ...], evenly spaced."""
    return rows[torch.linspace(0, len(rows) - 1, min(num, len(rows))).round().long()]


def inner_times(times: tuple[float, ...], num: int) -> tuple[float, ...]:
    """Return `num` of the times, evenly spaced and without the outermost ones; all if there are no more than `num`."""
    places = [round((index + 1) * (len(times) + 1) / (num + 1)) - 1 for index in range(num)]
    return tuple(times[place] for place in places) if len(times) > num else times


@dataclass(frozen=True)
class EvaluationContext:
    """A pipeline and its held-out windows; computations that several metrics need are shared.

    Noise is seeded by the content of a window, so results depend neither on the order of windows nor on the batch size.
    Raises InputError without windows, and for windows that do not fill an image.
    """

    pipeline: Pipeline
    held_out: Tensor  # [M, L] int64: all held-out windows
    seed: int
    times: tuple[float, ...]  # each in (0, 1)
    num_windows: int  # maximum number of `windows`
    batch_size: int = 32
    steps: int | None = None  # of the samples; None: the sampler's own number
    documents: TrainingDocuments | None = None  # read only by metrics that need training text
    source: Callable[[], DataSource] | None = None  # of the training text; may raise CannotMeasureError
    progress: Progress = silent
    partial: PartialResults = field(default_factory=PartialResults)  # of an interrupted evaluation
    notes: list[str] = field(default_factory=list, init=False)  # from metrics, for the report
    _shared: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        length = self.pipeline.codec.capacity
        if self.held_out.ndim != 2 or not len(self.held_out):
            raise InputError("no held-out window", "at least one", hint="Name text to evaluate on: --data PATH")
        if self.held_out.shape[1] != length:
            raise InputError(
                f"windows of {counted(self.held_out.shape[1], 'token')}", f"{length}, the capacity of an image"
            )
        for t in self.times:
            if not 0 < t < 1:
                hint = "At t = 0 nothing of the text is left to recover; at t = 1 nothing is hidden."
                raise InputError(shown(t), "a time above 0 and below 1", field="eval.times", hint=hint)

    @cached_property
    def windows(self) -> Tensor:
        """The windows [N, L] int64 of most metrics: `num_windows` of the held-out ones, evenly spaced."""
        return evenly_spaced(self.held_out, self.num_windows)

    @cached_property
    def text_mask(self) -> Tensor:
        """The positions of `windows` that are not padding, [N, L] bool. Raises InputError if there are none."""
        mask = self.windows != self.pipeline.tokenizer.pad_id
        if not mask.any():
            raise InputError("held-out windows of nothing but padding", "text")
        return mask

    @property
    def samples(self) -> tuple[Generated, ...]:
        """Generated texts, as many as there are `windows`; their seeds count up from `seed`."""
        return self.shared("samples", lambda: tuple(self._generated()))

    def _generated(self) -> list[Generated]:
        steps, seeds = self.num_steps, torch.arange(self.seed, self.seed + len(self.windows))
        advance = self.counter(SAMPLES, len(seeds) * steps, shared=True)

        def sample(seeds: Tensor) -> Sequence[Tensor]:
            return self.pipeline.sample(seeds.tolist(), steps=steps, on_step=lambda _: advance(len(seeds)))

        tokens, images = self.over_batches(sample, seeds)
        return self.pipeline.texts(seeds.tolist(), tokens, images)

    def over_batches(self, compute: Callable[..., Sequence[Tensor]], *columns: Tensor) -> list[Tensor]:
        """Return what `compute` returns for all rows of the `columns` [N, ...]: tensors [N, ...] on the CPU.

        It gets at most `batch_size` rows of each column at a time, and the network in evaluation mode. Processes that share
        the evaluation divide the batches, and all get all results.
        """
        batches = list(zip(*(torch.split(column, self.batch_size) for column in columns), strict=True))
        with eval_mode(self.pipeline.network):
            parts = list(parallel.map_batches(lambda batch: compute(*batch), batches))
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    @property
    def num_steps(self) -> int:
        """The number of steps that `samples` take."""
        return self.steps or self.pipeline.sampler.steps

    @cached_property
    def training_text(self) -> str:
        """The training text, see `joined_text`. Raises CannotMeasureError if it is not available."""
        if self.documents is None:
            raise CannotMeasureError("no training text", "the text that the model was trained on", field="documents")
        return joined_text(self.documents)

    def shared(self, name: str, compute: Callable[[], T]) -> T:
        """Return the value called `name`, computed once for all metrics of this context."""
        if name not in self._shared:
            self._shared[name] = compute()
        return cast(T, self._shared[name])

    def counter(self, what: str, total: int, *, shared: bool = False) -> Callable[[int], None]:
        """Return a function that reports progress; it receives how much was done since its last call.

        `shared` work is that of `over_batches`.
        """
        return Counter(self.progress, what, total, parallel.num_sharing() if shared else 1).add

"""Recording a walk from noise to an image, whichever sampler walks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from jitkit.codecs.pixels import to_pictures
from jitkit.pipeline import Pipeline
from jitkit.protocols import Denoise, Sampler, Step


@dataclass(frozen=True)
class Snapshot:
    """A walk at time t: the noisy images and what the model saw in them, as bytes of pictures [B, H, W, 3]."""

    t: float
    z: Tensor
    x_hat: Tensor
    estimate: Tensor  # [B, 3, H, W] float: x_hat before it became bytes


@dataclass(frozen=True)
class Recorder:
    """A sampler that walks as another one does, and tells of each snapshot: where it was, and what the model saw there.

    The last snapshot is the finished image.
    """

    name: ClassVar[str] = "recorder"

    sampler: Sampler
    on_snapshot: Callable[[Snapshot], None]

    @property
    def order(self) -> int | None:
        """Order of convergence of the other sampler."""
        return self.sampler.order

    @property
    def steps(self) -> int:
        """Number of steps of a whole walk."""
        return self.sampler.steps

    def sample(
        self,
        denoise: Denoise,
        z: Tensor,
        grid: Tensor,
        *,
        fresh_noise: Callable[[], Tensor],
        on_step: Callable[[Step], None] | None = None,
    ) -> Tensor:
        """Return what the other sampler returns; see `jitkit.protocols.Sampler`."""
        held, t = z, float(grid[0])

        def told(step: Step) -> None:
            nonlocal held, t
            self._tell(t, held, step.x_hat)
            held, t = step.z, step.t
            if on_step:
                on_step(step)

        image = self.sampler.sample(denoise, z, grid, fresh_noise=fresh_noise, on_step=told)
        self._tell(1.0, image, image)
        return image

    def _tell(self, t: float, z: Tensor, x_hat: Tensor) -> None:
        self.on_snapshot(Snapshot(t, to_pictures(z).cpu(), to_pictures(x_hat).cpu(), x_hat))


@dataclass(frozen=True)
class FilmFrame:
    """One snapshot of one text; pictures are [H, W, 3] uint8."""

    t: float
    z: Tensor
    x_hat: Tensor
    text: str


def frames_of(snapshots: Sequence[Snapshot], index: int, num_frames: int, pipeline: Pipeline) -> list[FilmFrame]:
    """Return at most `num_frames` frames of text number `index` of a batch, evenly spaced, the first and last among them."""
    places = torch.linspace(0, len(snapshots) - 1, min(len(snapshots), num_frames)).round().int().tolist()
    frames = []
    for snapshot in (snapshots[place] for place in places):
        tokens = pipeline.codec.decode(snapshot.estimate[index : index + 1])[0]
        frames.append(FilmFrame(snapshot.t, snapshot.z[index], snapshot.x_hat[index], pipeline.text_of(tokens)))
    return frames

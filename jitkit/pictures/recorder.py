"""Record the sampling trajectory of any sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from jitkit.codecs.image_codec import to_pictures
from jitkit.pipeline import Pipeline
from jitkit.protocols import Denoise, Sampler, Step


@dataclass(frozen=True)
class Snapshot:
    """The state of a trajectory at time t. Pictures are [B, H, W, 3] uint8."""

    t: float
    z: Tensor = field(repr=False)  # pictures of the noisy images
    x_hat: Tensor = field(repr=False)  # pictures of the estimates
    estimate: Tensor = field(repr=False)  # [B, 3, H, W] float, the estimates before rounding


def stacked(snapshots: Sequence[Snapshot]) -> list[Tensor]:
    """Return the snapshots of a trajectory as tensors, one for each field; no tensors for no snapshots."""
    if not snapshots:
        return []
    times = torch.tensor([snapshot.t for snapshot in snapshots], dtype=torch.float64)
    columns = zip(*((snapshot.z, snapshot.x_hat, snapshot.estimate) for snapshot in snapshots), strict=True)
    return [times, *map(torch.stack, columns)]


def unstacked(fields: Sequence[Tensor]) -> list[Snapshot]:
    """Return the snapshots that `stacked` has turned into tensors."""
    rows = zip(*(field.unbind() for field in fields), strict=True)
    return [Snapshot(float(t), z, x_hat, estimate) for t, z, x_hat, estimate in rows]


@dataclass(frozen=True)
class Recorder:
    """Wraps a sampler and calls `on_snapshot` before each step and for the final images."""

    name: ClassVar[str] = "recorder"
    distillable: ClassVar[bool] = False

    sampler: Sampler
    on_snapshot: Callable[[Snapshot], None]

    @property
    def order(self) -> int | None:
        """Order of convergence of the wrapped sampler."""
        return self.sampler.order

    @property
    def steps(self) -> int:
        """Number of steps of a trajectory."""
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
        """Return the samples of the wrapped sampler; see `jitkit.protocols.Sampler`."""
        z_before, t = z, float(grid[0])

        def record_step(step: Step) -> None:
            nonlocal z_before, t
            self._record(t, z_before, step.x_hat)
            z_before, t = step.z, step.t
            if on_step:
                on_step(step)

        image = self.sampler.sample(denoise, z, grid, fresh_noise=fresh_noise, on_step=record_step)
        self._record(1.0, image, image)
        return image

    def _record(self, t: float, z: Tensor, x_hat: Tensor) -> None:
        self.on_snapshot(Snapshot(t, to_pictures(z).cpu(), to_pictures(x_hat).cpu(), x_hat))


@dataclass(frozen=True)
class FilmFrame:
    """A snapshot of one text. Pictures are [H, W, 3] uint8."""

    t: float
    z: Tensor = field(repr=False)
    x_hat: Tensor = field(repr=False)
    text: str


def frames_of(snapshots: Sequence[Snapshot], index: int, num_frames: int, pipeline: Pipeline) -> list[FilmFrame]:
    """Return up to `num_frames` evenly spaced frames of batch element `index`, including the first and the last."""
    chosen = torch.linspace(0, len(snapshots) - 1, min(len(snapshots), num_frames)).round().int().tolist()
    frames = []
    for snapshot in (snapshots[number] for number in chosen):
        tokens = pipeline.codec.decode(snapshot.estimate[index : index + 1])[0]
        frames.append(FilmFrame(snapshot.t, snapshot.z[index], snapshot.x_hat[index], pipeline.text_of(tokens)))
    return frames

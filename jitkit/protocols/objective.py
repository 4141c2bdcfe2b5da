"""Prediction target and training loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from jitkit.protocols.codec import Codec
    from jitkit.protocols.noise_schedule import NoiseSchedule


@dataclass(frozen=True)
class Noised:
    """A batch of noised images: ``z = alpha(t) x + sigma(t) noise``, except that known pixels of `z` are clean."""

    tokens: Tensor  # [B, L] int64
    x: Tensor  # [B, 3, H, W] clean images
    noise: Tensor  # [B, 3, H, W], standard deviation noise_scale
    t: Tensor  # [B] in [0, 1], or [B, 1, H, W] for pixels with different times
    z: Tensor  # [B, 3, H, W]
    known: Tensor | None = None  # [B, 1, H, W] float, 1 where z is clean

    def rows(self, rows: slice) -> Noised:
        """Return some images of the batch."""
        columns: dict[str, Any] = {name: value for name, value in vars(self).items() if value is not None}
        return Noised(**{name: value[rows] for name, value in columns.items()})


@runtime_checkable
class Objective(Protocol):
    """The training loss and the meaning of a network's output: the table `[objective]`.

    Requirements: the loss is zero at the oracle (the output whose estimate is the clean image), finite at t = 0 and
    t = 1, and positive with a gradient wherever the estimate is wrong (nothing is clamped before it); known pixels
    carry no loss; `estimate` inverts `oracle`. `jitkit.diffusion.conditioning.Conditioning` is a base class that
    provides the three settings of the network's inputs.
    """

    name: ClassVar[str]

    @property
    def self_conditioning(self) -> float:
        """Probability that a training image comes with the network's own first estimate; 0 = no such input."""

    @property
    def known(self) -> float:
        """Probability that a training image has known pixels (prefix or spans); 0 = no such input."""

    @property
    def token_posterior(self) -> bool:
        """Whether the network takes the context-free estimate of `z`, see `jitkit.diffusion.context_free`."""

    def check(self, codec: Codec) -> None:
        """Raise ManifestError if the objective does not suit the images of `codec`."""

    def channels(self, codec: Codec) -> int:
        """Return the number of output channels of the network, C; 3 if its output is an image."""

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the loss of each image [B] float32, given the network's output `raw` [B, C, H, W]."""

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return `x_hat` [B, 3, H, W], the estimate of the clean image that follows from `raw` [B, C, H, W]."""

    def oracle(self, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the output [B, C, H, W] of a perfect network, for tests and the conformance kit.

        If certainty is only reached in the limit, the output is certain to within 1e-6.
        """

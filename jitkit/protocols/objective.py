"""What the network is asked for and what it is punished for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from jitkit.protocols.codec import Codec
    from jitkit.protocols.noise_schedule import NoiseSchedule


@dataclass(frozen=True)
class Noised:
    """A batch on its way: ``z = alpha(t) x + sigma(t) noise``, except that known pixels of `z` are clean."""

    tokens: Tensor  # [B, L] int64
    x: Tensor  # [B, 3, H, W] clean images
    noise: Tensor  # [B, 3, H, W], standard deviation noise_scale
    t: Tensor  # [B] in [0, 1]
    z: Tensor  # [B, 3, H, W]
    known: Tensor | None = None  # [B, 1, H, W] float, 1 where z is clean

    def rows(self, rows: slice) -> Noised:
        """Return some images of the batch."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen: dict[str, Any] = {name: None if value is None else value[rows] for name, value in columns.items()}
        return Noised(**chosen)


@runtime_checkable
class Objective(Protocol):
    """The training loss and how a network's output is read: the table `[objective]`.

    Laws: the loss is zero at the oracle (the output that reads as the clean image), finite at t = 0 and t = 1, positive
    and with a gradient wherever the estimate is wrong (nothing is clamped before it); known pixels carry no loss;
    `estimate` inverts `oracle`.
    """

    name: ClassVar[str]

    @property
    def self_conditioning(self) -> float:
        """Probability that a training image is given the network's own first estimate; 0 = no such input."""
        ...

    @property
    def known(self) -> float:
        """Probability that a training image has known pixels (prefix or spans); 0 = no such input."""
        ...

    @property
    def reading(self) -> bool:
        """Whether the network is also shown the contextless estimate of `z`, see `jitkit.diffusion.context_free`."""
        ...

    def check(self, codec: Codec) -> None:
        """Raise ManifestError where images of `codec` are not what this objective is made for; most take any."""
        ...

    def channels(self, codec: Codec) -> int:
        """Return how many numbers the network says of each pixel, C; most say an image, which has 3."""
        ...

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the loss of each image [B] float32, given the network's output `raw` [B, C, H, W]."""
        ...

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return `x_hat` [B, 3, H, W], the estimate of the clean image that `raw` [B, C, H, W] stands for."""
        ...

    def oracle(self, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the output [B, C, H, W] of a perfect network; tests and the conformance kit use it.

        Where certainty is a limit that no output reaches, one that is certain to within 1e-6.
        """
        ...

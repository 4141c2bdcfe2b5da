"""An objective that tests derive from, so that they only contain what differs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit.diffusion.conditioning import Conditioning
from jitkit.protocols import Codec, Noised, NoiseSchedule


class ImageObjective(Conditioning):
    """Squared error of the clean image. Tests derive objectives from it that differ in one method."""

    name: ClassVar[str] = "image"

    def check(self, codec: Codec) -> None:
        """Accept any codec."""

    def channels(self, codec: Codec) -> int:
        """Return 3."""
        return 3

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the mean squared error [B]."""
        return (raw - batch.x).square().mean(dim=(1, 2, 3))

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return `raw`."""
        return raw

    def oracle(self, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the clean images."""
        return batch.x

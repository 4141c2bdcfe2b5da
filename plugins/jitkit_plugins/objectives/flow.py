"""Squared error: the network predicts x, velocity or noise, with the loss in any of the three spaces."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field
from torch import Tensor

from jitkit.diffusion.conditioning import Conditioning
from jitkit.diffusion.process import levels_at, velocity_from_pair, wronskian, x_from_noise, x_from_velocity
from jitkit.diffusion.training_pass import mean_over_unknown
from jitkit.protocols import Codec, Levels, Noised, NoiseSchedule

Space = Literal["x", "v", "eps"]


class Flow(Conditioning):
    """Squared error in x, velocity (v) or noise (eps), with any of them as prediction target (JiT, 2511.13720, table 1).

    Errors in the three spaces are proportional: ``e_x / sigma = e_v / W = - e_eps / alpha`` (see
    `jitkit.diffusion.process`). Each of the nine combinations is therefore the error of the raw output times the ratio of
    two of these scales. Both are clamped to at least `t_eps`: predicting x with a v-loss divides by max(1 - t, 0.05) on
    the flow path, as JiT does. Nothing is clamped before the loss.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    name: ClassVar[str] = "flow"

    prediction: Space = Field("x", description="prediction target: image (x), velocity (v) or noise (eps)")
    loss_space: Space = Field("v", alias="loss", description="space of the squared error")
    t_eps: float = Field(0.05, gt=0, le=0.5, description="lower bound on alpha and sigma as divisors")

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the mean squared error over channels and unknown pixels, [B] float32; 0 where all pixels are known."""
        at = levels_at(schedule, batch.t)
        factor = self._scale(self.loss_space, at) / self._scale(self.prediction, at)
        target = self.oracle(batch, schedule=schedule, codec=codec)
        error = (factor * (raw.float() - target)).square().mean(1, keepdim=True)
        return mean_over_unknown(error, batch.known)

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the clean image that follows from `raw`; from eps, shrunk towards 0 where alpha < t_eps."""
        at, raw = levels_at(schedule, t), raw.to(z.dtype)
        match self.prediction:
            case "x":
                return raw
            case "v":
                return x_from_velocity(raw, z, at)
            case "eps":
                return x_from_noise(raw, z, at, floor=self.t_eps)

    def oracle(self, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the output of a perfect network: the clean image, the velocity or the noise."""
        match self.prediction:
            case "x":
                return batch.x
            case "v":
                return velocity_from_pair(batch.x, batch.noise, levels_at(schedule, batch.t))
            case "eps":
                return batch.noise

    def _scale(self, space: Space, at: Levels) -> Tensor:
        return {"x": at.sigma, "v": wronskian(at), "eps": at.alpha}[space].clamp(min=self.t_eps)

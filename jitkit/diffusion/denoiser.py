"""A network read as a denoiser: the only view of a model that samplers and metrics have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jitkit.protocols import Codec, NoiseSchedule, Objective


@dataclass(frozen=True)
class Denoiser:
    """Backbone, schedule, objective and codec, asked one question: which clean image is in this `z`?

    Calling it takes `z` [B, 3, H, W], `t` [B] in [0, 1] and optionally the previous estimate `x_prev` [B, 3, H, W], and
    returns `x_hat` [B, 3, H, W]. `x_prev` is passed on only to a network that was trained with it, so that samplers may
    always carry it. Neither gradients nor precision are decided here.
    """

    network: nn.Module
    schedule: NoiseSchedule
    objective: Objective
    codec: Codec
    x_known: Tensor | None = None
    known: Tensor | None = None

    def given(self, x_known: Tensor, known: Tensor) -> Denoiser:
        """Return the denoiser of images of which some pixels are given.

        `x_known` [B, 3, H, W] is right where `known` [B, 1, H, W] (float or bool) is 1 and is not read elsewhere. Those
        pixels are clean in every `z` that the network sees and in every estimate, so the end of a walk has them exactly.
        The network must have been trained with known pixels (`objective.known` > 0).
        """
        return replace(self, x_known=x_known, known=known.to(x_known.dtype))

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return the estimate `x_hat` [B, 3, H, W] of the clean image behind `z` at times `t` [B]."""
        if not self.objective.self_conditioning:
            x_prev = None
        z = self._with_known(z)
        raw = self.network(z, t, x_prev=x_prev, known=self.known)
        x_hat = self.objective.estimate(raw, z, t, schedule=self.schedule, codec=self.codec)
        return self._with_known(x_hat)

    def _with_known(self, image: Tensor) -> Tensor:
        if self.known is None or self.x_known is None:
            return image
        return torch.where(self.known.bool(), self.x_known, image)

"""A network read as a denoiser: the only view of a model that samplers and metrics have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jitkit.diffusion.context_free import context_free_estimate
from jitkit.diffusion.guidance import NONE, guide
from jitkit.manifest.schema import Guidance
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
    guidance: Guidance = NONE
    x_known: Tensor | None = None
    known: Tensor | None = None

    @property
    def can_be_given(self) -> bool:
        """Whether some pixels may be known."""
        return self._sees_given or self.objective.self_conditioning > 0

    @property
    def _sees_given(self) -> bool:
        """Whether the network sees given pixels in `z`, clean."""
        return self.objective.known > 0 or self.objective.reading

    def given(self, x_known: Tensor, known: Tensor) -> Denoiser:
        """Return the denoiser of images of which some pixels are given.

        `x_known` [B, 3, H, W] is right where `known` [B, 1, H, W] (float or bool) is 1 and is not read elsewhere. Those
        pixels are clean in every estimate, so the end of a walk has them exactly.

        A network that is shown what can be read of `z` (`objective.reading`) sees them there as read without doubt, and
        clean in `z`; one that was trained with known pixels (`objective.known` > 0) clean in `z` as well. One that has
        neither, but is shown its own estimate, sees them in that, from the first step on; in `z` they are as noisy as the
        rest, for a walk whose estimate of a pixel is right leads it along its own path from noise to data. One of the
        three is needed, see `can_be_given`.
        """
        return replace(self, x_known=x_known, known=known.to(x_known.dtype))

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return the estimate `x_hat` [B, 3, H, W] of the clean image behind `z` at times `t` [B]."""
        x_prev = self._shown(x_prev)
        scale = None if x_prev is None else t.new_full((), self.guidance.self_conditioning).expand(len(t))
        given, known = (self._with_known(z), self.known) if self._sees_given else (z, None)
        by_known = self._scale_of_known(t)
        if by_known is None:
            raw = self.network_output(given, t, x_prev=x_prev, known=known, scale=scale)
        else:
            raw = guide(*self._without_and_given(z, given, t, x_prev, scale), by_known)
        return self.estimate(raw, given, t)

    def network_output(
        self, z: Tensor, t: Tensor, *, x_prev: Tensor | None, known: Tensor | None, scale: Tensor | None
    ) -> Tensor:
        """Return the raw output of the network for `z` [B, 3, H, W], clean where `known` [B, 1, H, W] is 1.

        It is told what it was built for: `known` after training with known pixels, what can be read of `z`, and `scale`
        [B], 0 without `x_prev`, if it has learned guidance.
        """
        told = {} if self.guidance.learned == 1 else {"scale": scale}
        if self.objective.reading:
            reading = context_free_estimate(z, t, schedule=self.schedule, codec=self.codec)
            told["reading"] = reading if known is None else torch.where(known.bool(), z, reading)
        raw: Tensor = self.network(z, t, x_prev=x_prev, known=known if self.objective.known else None, **told)
        return raw

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Return the image that `raw` [B, 3, H, W] stands for; known pixels are those that were given."""
        return self._with_known(self.objective.estimate(raw, z, t, schedule=self.schedule, codec=self.codec))

    def self_conditioned(self, z: Tensor, t: Tensor) -> Tensor:
        """Return x_hat as a function of `z` alone: of a model with self-conditioning, the estimate of the second pass.

        The first pass of a model that was always shown an estimate is trained by nothing, and says little.
        """
        x_hat = self(z, t)
        return self(z, t, x_hat) if self.objective.self_conditioning else x_hat

    def _shown(self, x_prev: Tensor | None) -> Tensor | None:
        """Return the estimate that the network is shown: in the first step of a walk nothing, or what is known."""
        if not self.objective.self_conditioning:
            return None
        if x_prev is None and not self.objective.known and self.known is not None and self.x_known is not None:
            return torch.where(self.known.bool(), self.x_known, 0)
        return x_prev

    def _scale_of_known(self, t: Tensor) -> Tensor | None:
        """Return the scale [B] that known pixels guide each image with, 1 outside the interval; None where none is guided."""
        guidance = self.guidance
        if self.known is None or guidance.known == 1:
            return None
        inside = (guidance.known_from <= t) & (t <= guidance.known_to)
        always = guidance.known_from == 0 and guidance.known_to == 1  # else look, for which a GPU is waited for
        if not always and not inside.any():
            return None
        return torch.where(inside, guidance.known, 1.0)

    def _without_and_given(
        self, z: Tensor, given: Tensor, t: Tensor, x_prev: Tensor | None, scale: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the raw outputs without and with the known pixels, from one pass over a batch of two.

        Without them the network sees `z` as the walk has it, noisy everywhere, and no earlier estimate, for that was made
        with them.
        """

        def beside_nothing(condition: Tensor | None) -> Tensor | None:
            return None if condition is None else torch.cat((torch.zeros_like(condition), condition))

        both = self.network_output(
            torch.cat((z, given)),
            t[:1].expand(2 * len(t)) if t.stride(0) == 0 else torch.cat((t, t)),  # one time for all stays one
            x_prev=beside_nothing(x_prev),
            known=beside_nothing(self.known),
            scale=beside_nothing(scale),
        )
        without, with_known = both.chunk(2)
        return without, with_known

    def _with_known(self, image: Tensor) -> Tensor:
        if self.known is None or self.x_known is None:
            return image
        return torch.where(self.known.bool(), self.x_known, image)

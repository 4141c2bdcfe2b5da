"""A network as a denoiser: the only view of a model that samplers and metrics have."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from jitkit.component import Component
from jitkit.diffusion.context_free import context_free_estimate
from jitkit.diffusion.guidance import NONE, guide
from jitkit.manifest.schema import Guidance
from jitkit.protocols import Codec, NoiseSchedule, Objective


@dataclass(frozen=True)
class Denoiser:
    """Network, schedule, objective and codec: together they estimate the clean image behind a noisy one.

    A call takes `z` [B, 3, H, W], `t` [B] in [0, 1] and optionally the previous estimate `x_prev` [B, 3, H, W], and
    returns `x_hat` [B, 3, H, W]. Samplers may always pass `x_prev`: it is dropped if the network was not trained with it.
    Gradients and precision are up to the caller.
    """

    network: nn.Module = field(repr=False)
    schedule: NoiseSchedule
    objective: Objective
    codec: Codec
    guidance: Guidance = NONE
    x_known: Tensor | None = field(default=None, repr=False)
    known: Tensor | None = field(default=None, repr=False)
    static_shapes: bool = False  # whether the first pass of training keeps its batch size, as a compiled network needs

    @property
    def accepts_known(self) -> bool:
        """Whether some pixels may be known."""
        return self._known_in_z or self.objective.self_conditioning > 0

    @property
    def _known_in_z(self) -> bool:
        """Whether known pixels are clean in `z`."""
        return self.objective.known > 0 or self.objective.token_posterior

    def as_trained(self) -> Denoiser:
        """Return the denoiser for training and likelihoods, without the settings that only samples have."""
        objective = self.objective
        return replace(self, objective=objective.as_trained()) if isinstance(objective, Component) else self

    def with_known_pixels(self, x_known: Tensor, known: Tensor) -> Denoiser:
        """Return the denoiser of images with known pixels. Requires `accepts_known`.

        `x_known` [B, 3, H, W] holds the pixels where `known` [B, 1, H, W] (float or bool) is 1 and is ignored elsewhere.
        These pixels are exact in every estimate, and so at the end of a sampling trajectory.

        With `objective.known` > 0 they are clean in `z`. With `objective.token_posterior` they are also certain in the
        context-free posterior. A network with self-conditioning alone sees them in `x_prev` from the first step on; in
        `z` they stay noisy, because a pixel whose estimate is right follows its own path from noise to data.
        """
        return replace(self, x_known=x_known, known=known.to(x_known.dtype))

    def __call__(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return the estimate `x_hat` [B, 3, H, W] of the clean image behind `z` at times `t` [B]."""
        x_prev = self._x_prev(x_prev)
        scale = None if x_prev is None else t.new_full((), self.guidance.self_conditioning).expand(len(t))
        given, known = (self._with_known(z), self.known) if self._known_in_z else (z, None)
        known_scale = self._known_scale(t)
        if known_scale is None:
            raw = self.network_output(given, t, x_prev=x_prev, known=known, scale=scale)
        else:
            raw = guide(*self._without_and_given(z, given, t, x_prev, scale), known_scale)
        return self.estimate(raw, given, t)

    def network_output(
        self, z: Tensor, t: Tensor, *, x_prev: Tensor | None, known: Tensor | None, scale: Tensor | None
    ) -> Tensor:
        """Return the raw output of the network for `z` [B, 3, H, W], clean where `known` [B, 1, H, W] is 1.

        The network only receives the inputs that it was built with. `scale` is [B], and 0 without `x_prev`.
        """
        inputs = {} if self.guidance.learned == 1 else {"scale": scale}
        if self.objective.token_posterior:
            mean = context_free_estimate(z, t, schedule=self.schedule, codec=self.codec)
            inputs["token_posterior"] = mean if known is None else torch.where(known.bool(), z, mean)
        of_image = t if t.ndim == 1 else t.mean((1, 2, 3))
        raw: Tensor = self.network(z, of_image, x_prev=x_prev, known=known if self.objective.known else None, **inputs)
        return raw

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Return the clean image that follows from `raw` [B, C, H, W], with known pixels set."""
        return self._with_known(self.objective.estimate(raw, z, t, schedule=self.schedule, codec=self.codec))

    def self_conditioned(self, z: Tensor, t: Tensor, x_prev: Tensor | None = None) -> Tensor:
        """Return x_hat as a function of `z` alone; with self-conditioning, the estimate of the second pass.

        A model that always saw its estimate in training has never learned the first pass alone. With `x_prev`, the estimate
        of two more passes.
        """
        x_hat = self(z, t, x_prev)
        return self(z, t, x_hat) if self.objective.self_conditioning else x_hat

    def _x_prev(self, x_prev: Tensor | None) -> Tensor | None:
        """Return the estimate for the network's input; in the first step, the known pixels if `z` does not show them."""
        if not self.objective.self_conditioning:
            return None
        if x_prev is None and not self.objective.known and self.known is not None and self.x_known is not None:
            return torch.where(self.known.bool(), self.x_known, 0)
        return x_prev

    def _known_scale(self, t: Tensor) -> Tensor | None:
        """Return the guidance scale [B] of known pixels, 1 outside the interval; None if no image is guided."""
        guidance = self.guidance
        if self.known is None or guidance.known == 1:
            return None
        inside = (guidance.known_from <= t) & (t <= guidance.known_to)
        always = guidance.known_from == 0 and guidance.known_to == 1  # saves `any`, which waits for a GPU
        if not always and not inside.any():
            return None
        return torch.where(inside, guidance.known, 1.0)

    def _without_and_given(
        self, z: Tensor, given: Tensor, t: Tensor, x_prev: Tensor | None, scale: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the raw outputs without and with the known pixels, from one pass over a double batch.

        The half without them sees `z` noisy everywhere and no earlier estimate, because known pixels went into that.
        """

        def with_zeros(condition: Tensor | None) -> Tensor | None:
            return None if condition is None else torch.cat((torch.zeros_like(condition), condition))

        both = self.network_output(
            torch.cat((z, given)),
            t[:1].expand(2 * len(t)) if t.stride(0) == 0 else torch.cat((t, t)),  # one shared time stays shared
            x_prev=with_zeros(x_prev),
            known=with_zeros(self.known),
            scale=with_zeros(scale),
        )
        without, with_known = both.chunk(2)
        return without, with_known

    def _with_known(self, image: Tensor) -> Tensor:
        if self.known is None or self.x_known is None:
            return image
        return torch.where(self.known.bool(), self.x_known, image)

"""Binary cross-entropy: every number of an image is a bit of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from jitkit.component import Component
from jitkit.diffusion.process import levels_at
from jitkit.errors import ManifestError
from jitkit.protocols import Codec, Noised, NoiseSchedule
from jitkit_plugins.objectives.flow import Flow
from jitkit_plugins.objectives.temperature import temperatures

LEAST_VARIANCE = 1e-6
CERTAIN = 20.0  # half the log-odds of the oracle, in each number


class Bitwise(Component):
    """Binary cross-entropy of every number, for codecs whose numbers are -1 or 1 (CoBit, 2605.07013).

    Half the log-odds that a number is 1 are what `z` shows, known exactly, plus what the network has learned from its
    surroundings::

        h = alpha z / (sigma noise_scale)^2 + raw        x_hat = tanh(h)        loss = log(1 + exp(-2 x h))

    It costs no more than a squared error, whatever the size of the vocabulary. But it does not know which strings of
    bits are tokens, nor that the bits of a token depend on each other: `codeword` does.
    """

    name: ClassVar[str] = "bitwise"

    temperature: Annotated[
        float, Field(gt=0, le=10, description="of the bits in an estimate: below 1 for surer texts; 1 while training")
    ] = 1.0
    temperature_at: Annotated[
        float,
        Field(ge=0, le=1, description="time at which the temperature is reached, evenly from 1 at t = 0; 0: at once"),
    ] = 0.0
    top_p: Annotated[
        float, Field(gt=0, le=1, description="a bit that is surer than this counts as decided; 1 while training")
    ] = 1.0
    flow_weight: Annotated[
        float, Field(ge=0, description="weight of the v-loss of the estimate, beside the cross-entropy")
    ] = 0.0
    self_conditioning: Annotated[
        float, Field(ge=0, le=1, description="probability that the network sees its own first estimate")
    ] = 0.0
    known: Annotated[float, Field(ge=0, le=1, description="probability that an image has known pixels")] = 0.0
    reading: Annotated[
        bool, Field(description="whether the network is also shown what can be read of z without it, token by token")
    ] = False

    def check(self, codec: Codec) -> None:
        """Raise ManifestError for a codec with numbers that change from token to token and are not -1 or 1."""
        blank = _blank(codec, torch.device("cpu"))
        for ids in torch.split(torch.arange(codec.vocab_size), codec.capacity):
            image = codec.encode(F.pad(ids, (0, codec.capacity - len(ids)))[None])
            if not ((image.abs() == 1) | (image == blank)).all():
                raise ManifestError(
                    "bitwise beside a codec with numbers between -1 and 1",
                    "a codec whose numbers are -1 or 1, such as bits or code",
                    field="use",
                    hint="The objective codeword takes any codec.",
                )

    def channels(self, codec: Codec) -> int:
        """Return 3: half the log-odds of each number of an image."""
        return 3

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the mean cross-entropy of the unknown numbers [B] float32, in nats; 0 where all are known."""
        half = self._half_log_odds(raw, batch.z, batch.t, schedule)
        losses = F.softplus(-2 * batch.x * half)
        counted = (_blank(codec, raw.device).abs() == 1).expand_as(losses).float()
        if batch.known is not None:
            counted = counted * (1 - batch.known)
        entropy = (losses * counted).sum((1, 2, 3)) / counted.sum((1, 2, 3)).clamp(min=1)
        if not self.flow_weight:
            return entropy
        x_hat = _image(torch.tanh(half), codec)
        return entropy + self.flow_weight * Flow().loss(x_hat, batch, schedule=schedule, codec=codec)

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the mean of each number, in [-1, 1], after `temperature` and `top_p`; see `_image`."""
        temperature = temperatures(t, self.temperature, self.temperature_at)[:, None, None, None]
        mean = torch.tanh(self._half_log_odds(raw, z, t, schedule) / temperature)
        if self.top_p < 1:  # the likelier value of a bit has the probability (1 + |mean|) / 2
            mean = torch.where(mean.abs() >= 2 * self.top_p - 1, mean.sign(), mean)
        return _image(mean, codec).to(z.dtype)

    def oracle(self, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the clean image, so much enlarged that no doubt is left."""
        return batch.x * CERTAIN

    def _half_log_odds(self, raw: Tensor, z: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
        at = levels_at(schedule, t)
        variance = (at.sigma * schedule.noise_scale).square().clamp(min=LEAST_VARIANCE)
        return at.alpha * z / variance + raw


def _image(mean: Tensor, codec: Codec) -> Tensor:
    """Return `mean` [B, 3, H, W], but numbers that carry nothing are what they always are."""
    blank = _blank(codec, mean.device)
    return torch.where(blank.abs() == 1, mean, blank)


def _blank(codec: Codec, device: torch.device) -> Tensor:
    """Return an image of tokens 0 [1, 3, H, W]: the numbers that carry nothing are not -1 or 1 there."""
    return codec.encode(torch.zeros(1, codec.capacity, dtype=torch.int64, device=device))

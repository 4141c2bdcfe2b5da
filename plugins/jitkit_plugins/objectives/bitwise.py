"""Binary cross-entropy: every number of an image is a separate bit."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from jitkit.component import SAMPLING
from jitkit.diffusion.process import levels_at
from jitkit.errors import ManifestError
from jitkit.protocols import Codec, Noised, NoiseSchedule
from jitkit_plugins.objectives.flow import Flow
from jitkit_plugins.objectives.token_objective import TokenObjective

MIN_VARIANCE = 1e-6
CERTAIN = 20.0  # half the log-odds of the oracle, in each number


class Bitwise(TokenObjective):
    """Binary cross-entropy of every number, for codecs whose numbers are -1 or 1 (CoBit, 2605.07013).

    Half the log-odds that a number is 1 are the exact evidence of `z` plus the network's output, which adds the context::

        h = alpha z / (sigma noise_scale)^2 + raw        x_hat = tanh(h)        loss = log(1 + exp(-2 x h))

    The network's output is an image. The cost does not depend on the vocabulary size. Unlike `codeword`, this objective
    knows neither which bit strings are tokens nor that the bits of a token depend on each other: texts cost 0.2 to 0.7
    bits/char more at equal entropy.
    """

    name: ClassVar[str] = "bitwise"

    top_p: Annotated[float, SAMPLING] = Field(
        1.0, gt=0, le=1, description="when sampling, round bits whose probability exceeds this; 1: never"
    )

    def check(self, codec: Codec) -> None:
        """Raise ManifestError for a codec whose codewords contain other numbers than -1 and 1."""
        blank = _blank(codec, torch.device("cpu"))
        for ids in torch.split(torch.arange(codec.vocab_size), codec.capacity):
            image = codec.encode(F.pad(ids, (0, codec.capacity - len(ids)))[None])
            if not ((image.abs() == 1) | (image == blank)).all():
                found = "bitwise with a codec whose numbers lie between -1 and 1"
                expected, hint = "a codec whose numbers are all -1 or 1", "The objective codeword accepts any codec."
                raise ManifestError(found, f"{expected}, such as bits or code", field="use", hint=hint)

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
        """Return the mean of each number, in [-1, 1], after `evidence`, `temperature`, and `top_p`."""
        temperature = self.temperatures(t)[:, None, None, None]
        mean = torch.tanh(self._half_log_odds(raw, z, t, schedule, self.evidence) / temperature)
        if self.top_p < 1:  # the more likely value of a bit has probability (1 + |mean|) / 2
            mean = torch.where(mean.abs() >= 2 * self.top_p - 1, mean.sign(), mean)
        return _image(mean, codec).to(z.dtype)

    def oracle(self, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the clean image, scaled so that every bit is certain."""
        return batch.x * CERTAIN

    def _half_log_odds(
        self, raw: Tensor, z: Tensor, t: Tensor, schedule: NoiseSchedule, evidence: float = 1.0
    ) -> Tensor:
        at = levels_at(schedule, t)
        variance = (at.sigma * schedule.noise_scale).square().clamp(min=MIN_VARIANCE)
        return evidence * at.alpha * z / variance + raw


def _image(mean: Tensor, codec: Codec) -> Tensor:
    """Return `mean` [B, 3, H, W] with the constant numbers of the codec set to their values."""
    blank = _blank(codec, mean.device)
    return torch.where(blank.abs() == 1, mean, blank)


def _blank(codec: Codec, device: torch.device) -> Tensor:
    """Return the image of all-zero tokens [1, 3, H, W]; its numbers other than -1 and 1 are constant and carry nothing."""
    return codec.encode(torch.zeros(1, codec.capacity, dtype=torch.int64, device=device))

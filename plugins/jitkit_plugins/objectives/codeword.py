"""Cross-entropy over codewords: the network says what the context knows, arithmetic says what the picture shows."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from jitkit.component import Component
from jitkit.diffusion.context_free import LEAST_NOISE
from jitkit.diffusion.process import levels_at
from jitkit.protocols import Codec, Noised, NoiseSchedule
from jitkit.protocols.codec import EVERYWHERE
from jitkit_plugins.objectives.flow import Flow
from jitkit_plugins.objectives.temperature import temperatures
from jitkit_plugins.objectives.token_entropy import parts, token_entropy, token_logits

LEAST_VARIANCE = LEAST_NOISE**2
CERTAIN = 80.0  # log-odds of the oracle


class Codeword(Component):
    """Cross-entropy on tokens; the estimate is the mean of the codewords under the probabilities of the tokens.

    What the picture shows of a token is known exactly: in ``z = alpha c + sigma noise`` the codeword c has the log-likelihood
    ``- |z - alpha c|^2 / (2 sigma^2 noise_scale^2)`` (the matched filter of CoBit, 2605.07013). The network need only learn
    what the context says, which is added to that. It can say so in two ways:

    - `context = "token"`: a number for each token v, which is the context's log-probability of v, up to a constant. Every
      distribution over tokens can be said. The network says V numbers of a token, spread over its pixels.
    - `context = "codeword"`: an image, as if c had been read once more with noise of its own:
      ``- |raw - c|^2 / (2 context_noise^2)``. Three numbers a pixel, however many tokens there are, but only what is
      linear in c can be said: of bits, that each is likely, not that two go together.

    Zeros say nothing ("codeword": where all codewords are equally long). The estimate is always a mean of valid codewords.
    """

    name: ClassVar[str] = "codeword"

    context: Annotated[
        Literal["codeword", "token"],
        Field(
            description="what the network says of each token: one more reading of its codeword, or a logit for every id"
        ),
    ] = "codeword"
    context_noise: Annotated[
        float, Field(ge=0.01, le=100, description="noise of the reading that context = 'codeword' is")
    ] = 1.0
    temperature: Annotated[
        float, Field(gt=0, le=10, description="of the tokens in an estimate: below 1 for surer texts; 1 while training")
    ] = 1.0
    temperature_at: Annotated[
        float,
        Field(ge=0, le=1, description="time at which the temperature is reached, evenly from 1 at t = 0; 0: at once"),
    ] = 0.0
    top_p: Annotated[
        float,
        Field(gt=0, le=1, description="an estimate counts the likeliest tokens that have this share; 1 while training"),
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
        """Take any codec."""

    def channels(self, codec: Codec) -> int:
        """Return 3, or as many as give each token the V numbers of `context = "token"`."""
        return 3 if self.context == "codeword" else -(-codec.vocab_size // codec.pixels_per_token)

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the mean cross-entropy of the unknown tokens [B] float32, in nats; 0 where all tokens are known."""
        said = self._said(raw, codec)
        if self.context == "token" and not self.flow_weight:
            losses = token_entropy(said, batch, schedule=schedule, codec=codec)
        else:
            logits = self._logits(said, batch.z, batch.t, schedule, codec)
            losses = F.cross_entropy(logits.flatten(0, 1), batch.tokens.flatten(), reduction="none")
            losses = losses.view_as(batch.tokens)
        unknown = torch.ones_like(losses) if batch.known is None else (~codec.token_mask(batch.known.bool())).float()
        entropy = (losses * unknown).sum(1) / unknown.sum(1).clamp(min=1)
        if not self.flow_weight:
            return entropy
        x_hat = codec.mean_image(logits.softmax(2))
        return entropy + self.flow_weight * Flow().loss(x_hat, batch, schedule=schedule, codec=codec)

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the mean image under the probabilities of the tokens, after `temperature` and `top_p`."""
        images = []
        for rows, places in parts(len(raw), codec, raw.device):
            said = self._said(raw[rows], codec)
            means = [self._mean(said, z[rows], t[rows], schedule, codec, some) for some in places]
            images.append(codec.write(torch.cat(means, 1)))
        return torch.cat(images).to(z.dtype)

    def oracle(self, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return an output that leaves no doubt (`context = "codeword"`: where all codewords are equally long)."""
        if self.context == "codeword":
            return batch.x * (CERTAIN / 2 * self.context_noise**2 / codec.margin**2)
        said = F.one_hot(batch.tokens, self.channels(codec) * codec.pixels_per_token)
        return codec.write(said.to(batch.x) * CERTAIN)

    def _mean(self, said: Tensor, z: Tensor, t: Tensor, schedule: NoiseSchedule, codec: Codec, places: slice) -> Tensor:
        """Return the mean codewords at `places` [B, l, 3 k]."""
        logits = self._logits(said, z, t, schedule, codec, places)
        if self.temperature != 1:
            logits.div_(temperatures(t, self.temperature, self.temperature_at)[:, None, None])
        probabilities = logits.softmax(2)
        if self.top_p < 1:
            probabilities = nucleus(probabilities, self.top_p)
        return codec.mean_codewords(probabilities)

    def _said(self, raw: Tensor, codec: Codec) -> Tensor:
        """Return what the network says of each token [B, L, >= V], or the image that it says."""
        return codec.read(raw) if self.context == "token" else raw

    def _logits(
        self,
        said: Tensor,
        z: Tensor,
        t: Tensor,
        schedule: NoiseSchedule,
        codec: Codec,
        places: slice = EVERYWHERE,
    ) -> Tensor:
        """Return the logits at `places` [B, l, V] float32 of what the picture shows and the context says, together."""
        if self.context == "token":
            return token_logits(said, z, t, schedule=schedule, codec=codec, places=places)
        at = levels_at(schedule, t)
        noise, context = (at.sigma * schedule.noise_scale).square(), self.context_noise**2
        total = noise + at.alpha.square() * context
        image = (at.alpha * context * z + noise * said) / total  # the mean of two readings, weighted by precision
        variance = (noise * context / total).clamp(min=LEAST_VARIANCE)
        return codec.token_logits(image, variance.flatten().sqrt(), places)


def nucleus(probabilities: Tensor, share: float) -> Tensor:
    """Return `probabilities` [..., V] of the fewest tokens that have `share` together, scaled to 1; 0 for the others."""
    falling, order = probabilities.sort(-1, descending=True)
    before = falling.cumsum(-1) - falling
    kept = torch.zeros_like(probabilities).scatter(-1, order, falling.masked_fill(before >= share, 0))
    return kept / kept.sum(-1, keepdim=True)

"""A straightforward `codeword` objective with one logit per token: the whole batch at once, gradients by autograd."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from jitkit.diffusion.context_free import context_free_logits
from jitkit.protocols import Codec, Noised, NoiseSchedule, Objective
from jitkit_plugins.objectives.codeword import Codeword


class PlainLogits(Codeword):
    """The same loss and estimate as `Codeword`."""

    def loss(self, raw: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the mean cross-entropy of the tokens [B]."""
        logits = _logits(raw, batch.z, batch.t, schedule, codec)
        return F.cross_entropy(logits.transpose(1, 2), batch.tokens, reduction="none").mean(1)

    def estimate(self, raw: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        """Return the posterior mean image at temperature 1, as in training."""
        return codec.mean_image(_logits(raw, z, t, schedule, codec).softmax(2)).to(z.dtype)


def plain(objective: Objective) -> Objective:
    """Return the objective without optimizations. Only `codeword` has any."""
    if not isinstance(objective, Codeword) or objective.context != "token" or objective.known or objective.flow_weight:
        return objective
    return PlainLogits(**objective.model_dump())


def _logits(raw: Tensor, z: Tensor, t: Tensor, schedule: NoiseSchedule, codec: Codec) -> Tensor:
    shown = context_free_logits(z, t, schedule=schedule, codec=codec)
    return shown + codec.token_values(raw)[:, :, : codec.vocab_size].float()

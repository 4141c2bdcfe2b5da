"""What a network is conditioned on during training: its own estimate, known pixels, and the context-free posterior."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.manifest.schema import Guidance
from jitkit.protocols import Codec, NetworkInputs, Objective

MAX_CUTS = 4


class Conditioning(Component):
    """Base class of objectives: the settings that decide which optional inputs the network has.

    By default, an objective accepts any codec and the network's output is an image.
    """

    self_conditioning: float = Field(
        0.0, ge=0, le=1, description="probability that the network sees its own first estimate"
    )
    known: float = Field(0.0, ge=0, le=1, description="probability that an image has known pixels")
    token_posterior: bool = Field(
        False, description="also show the network the context-free posterior mean of z, computed without a network"
    )

    def check(self, codec: Codec) -> None:
        """Raise ManifestError if the objective does not suit the codec."""

    def channels(self, codec: Codec) -> int:
        """Return the number of output channels of the network."""
        return 3


def network_inputs(objective: Objective, guidance: Guidance) -> NetworkInputs:
    """Return the optional inputs that the network of a model is built with."""
    return NetworkInputs(
        x_prev=objective.self_conditioning > 0,
        known=objective.known > 0,
        token_posterior=objective.token_posterior,
        scale=guidance.learned > 1,
    )


def draw_known(num: int, length: int, probability: float, generator: torch.Generator) -> Tensor:
    """Return which tokens are known, [num, length] bool: none, a prefix, or random spans.

    A row has known tokens with `probability`, but never all of them. It is cut at random positions, and its pieces are
    known and unknown in turn. Half of the rows with known tokens have one cut and a known first piece: a prefix, or
    prompt. The others have one to `MAX_CUTS` cuts and start with either kind (continuation to the left, infilling).
    """
    max_cuts = min(MAX_CUTS, length - 1)
    if max_cuts < 1:
        return torch.zeros(num, length, dtype=torch.bool)
    some, prefix, starts_known = (
        torch.rand(num, 1, generator=generator) < chance for chance in (probability, 0.5, 0.5)
    )
    num_cuts = torch.randint(1, max_cuts + 1, (num, 1), generator=generator).masked_fill(prefix, 1)
    cuts = torch.rand(num, length - 1, generator=generator).topk(max_cuts).indices + 1  # distinct, in random order
    used = (torch.arange(max_cuts) < num_cuts).long()
    piece = torch.zeros(num, length, dtype=torch.long).scatter(1, cuts, used).cumsum(1)
    first_known = prefix | starts_known
    return some & ((piece % 2 == 0) == first_known)

"""Which optional inputs a network has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkInputs:
    """The optional inputs that a network is built with. In `forward`, None stands for zeros."""

    x_prev: bool = False  # [B, 3, H, W]: the previous estimate of the clean image (self-conditioning)
    known: bool = False  # [B, 1, H, W] float: 1 where a pixel of `z` is known and therefore clean
    token_posterior: bool = False  # [B, 3, H, W]: the mean image under the context-free posterior
    scale: bool = False  # [B] >= 0: the guidance scale of `x_prev`; 0 without `x_prev`

"""The temperature of estimates as a function of time."""

from __future__ import annotations

import torch
from torch import Tensor


def temperatures(t: Tensor, temperature: float, reached: float) -> Tensor:
    """Return the temperature at times `t` [B]: 1 at noise, then linear to `temperature` at the time `reached`.

    An estimate from pure noise shows token frequencies. Sharpened, it would show the most frequent token everywhere, and a
    self-conditioned network may copy it: texts of blanks.
    """
    share = (t / reached).clamp(max=1) if reached else torch.ones_like(t)
    return 1 + share * (temperature - 1)

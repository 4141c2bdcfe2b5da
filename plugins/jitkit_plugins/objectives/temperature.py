"""How sure an estimate is made, and from when on."""

from __future__ import annotations

import torch
from torch import Tensor


def temperatures(t: Tensor, temperature: float, reached: float) -> Tensor:
    """Return the temperature at times `t` [B]: 1 at noise, from there evenly to `temperature` at the time `reached`.

    An estimate made of noise says how common each token is. Made surer, it says the commonest everywhere, and a network that
    is shown this may believe it: texts of blanks come of it.
    """
    share = (t / reached).clamp(max=1) if reached else torch.ones_like(t)
    return 1 + share * (temperature - 1)

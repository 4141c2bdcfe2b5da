"""How many tokens of unseen text come back out of noise."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from jitkit.component import Component
from jitkit.evaluation.subject import Subject
from jitkit.protocols import Measurement


class TokenRecovery(Component):
    """Share of held-out tokens that come back from time t, in one step and by the sampler, beside the contextless line."""

    name: ClassVar[str] = "token_recovery"

    def measure(self, subject: Subject) -> Measurement:
        """Return a row for each t: `one_step`, `sampled`, `contextless`, each in [0, 1]; padding is not counted."""

        def share(tokens: Tensor) -> float:
            kept = (tokens == subject.windows) & subject.counted
            return int(kept.sum()) / int(subject.counted.sum())

        return [
            {
                "t": reconstruction.t,
                "one_step": share(reconstruction.one_step),
                "sampled": share(reconstruction.sampled),
                "contextless": share(reconstruction.contextless),
            }
            for reconstruction in subject.reconstructions
        ]

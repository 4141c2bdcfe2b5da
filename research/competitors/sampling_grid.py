"""The settings at which every competitor generates and infills."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingGrid:
    """Numbers of texts and of network evaluations, and sampler settings. A competitor uses the settings it has."""

    texts: int
    evaluations: tuple[int, ...]
    temperatures: tuple[float, ...]
    gammas: tuple[float, ...]
    evidence: tuple[float, ...] = ()  # () = 1, which is not named
    samplers: tuple[str, ...] = ()  # in addition to the manifest's
    infill_temperatures: tuple[float, ...] = (1.0,)
    infill_gammas: tuple[float, ...] = ()  # () = the manifest's

    @property
    def infill_evaluations(self) -> tuple[int, ...]:
        """Numbers of evaluations for infilling: a single one, and the largest."""
        return 1, max(self.evaluations)

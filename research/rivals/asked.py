"""What is asked of every model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """Numbers and settings that texts and infilling are tried with; a model takes those that mean something to it."""

    texts: int
    evaluations: tuple[int, ...]
    temperatures: tuple[float, ...]
    gammas: tuple[float, ...]
    samplers: tuple[str, ...] = ()  # beside the manifest's own
    infill_temperatures: tuple[float, ...] = (1.0,)
    infill_gammas: tuple[float, ...] = ()  # () = the manifest's own

    @property
    def infilling(self) -> tuple[int, ...]:
        """Numbers of evaluations that infilling is tried with: one, which reads off the estimate, and the most."""
        return 1, max(self.evaluations)

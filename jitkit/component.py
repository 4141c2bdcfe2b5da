"""The base class of components."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict


class _Sampling:
    """The type of `SAMPLING`."""


SAMPLING: Final = _Sampling()
"""Marks a field that changes samples but neither training nor likelihoods: ``Annotated[float, SAMPLING]``."""


class Component(BaseModel):
    """Base class of all components: a frozen pydantic model whose fields are the keys of its manifest table.

    `name` is the value of `use`. Validation is strict: ``"768"``, ``true`` and ``3.0`` are not integers, and unknown keys
    and NaN are rejected. Randomness, noise and time are always arguments. A component has no state besides its fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a small valid instance for the conformance kit. It may write the files it needs into `folder`."""
        del folder
        return cls()

    def as_trained(self) -> Self:
        """Return the component for training and likelihoods: fields marked with `SAMPLING` have their defaults."""
        fields = type(self).model_fields.items()
        return self.model_copy(update={name: field.default for name, field in fields if SAMPLING in field.metadata})

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the class docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

"""The base class of components."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict


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

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the class docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

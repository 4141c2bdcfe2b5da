"""A component: the settings of one plugged-in part, as they stand in a table of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Component(BaseModel):
    """Base of every plugged-in part: a frozen pydantic model.

    Fields are the keys of its TOML table, methods are its behaviour, `name` is what `use = "..."` says. Validation is
    strict (``"768"``, ``true`` and ``3.0`` are not integers), unknown keys and NaN are refused. Randomness, noise and
    time always come in as arguments; nothing is remembered on `self` but what follows from the fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return a small valid instance for the conformance kit; files it needs may be written into `folder`."""
        del folder
        return cls()

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the class docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

"""Nested dictionaries of tensors as one table with a name for each tensor, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from torch import Tensor

from jitkit.errors import InputError, shown

SAFE = " !$&'()*+,:;=@[]"  # characters of a key that its quoted form keeps, besides letters, digits, and "_.-~"


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor | None]]:
    """Yield the name ("model_state_dict/blocks.0.weight") of each tensor in nested dictionaries, and None for an empty one.

    Keys are quoted as in URLs, so "/" only separates them. Raises InputError for anything else in a dictionary.
    """
    for key, value in values.items():
        name = prefix + quote(str(key), safe=SAFE, errors="surrogatepass")
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, Mapping) and type(key) is str:
            yield from flattened(value, f"{name}/") if value else [(name, None)]
        else:
            raise InputError(shown(value), "tensors and dictionaries of tensors", field=name)


def nested(tensors: Mapping[str, Tensor], empty: Iterable[str]) -> dict[str, Any]:
    """Return the nested dictionaries that `flattened` has given these names. Raises ValueError for names that it never gives."""
    values: dict[str, Any] = {}
    for name, value in [*tensors.items(), *((name, None) for name in empty)]:
        *folders, key = (unquote(part, errors="surrogatepass") for part in name.split("/"))
        table = values
        for folder in folders:
            table = table.setdefault(folder, {})
            if not isinstance(table, dict):
                raise ValueError(f"{shown(name)} inside a tensor")
        if key in table:
            raise ValueError(f"{shown(name)} twice")
        table[key] = {} if value is None else value
    return values

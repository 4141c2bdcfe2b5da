"""The column of a table that holds the text, as errors name it for every kind of table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from jitkit.errors import InputError, did_you_mean, shown

DEFAULT = "text"
COLUMN = 'the column with the text. Default: "text", or the only column of text'
NULLS = "what a row without a text is: an error, or skipped"

Nulls = Literal["error", "skip"]


def choose_column(name: str, columns: Collection[str], texts: Collection[str], file: object) -> str:
    """Return the column to read, one of `columns`: `name`, or without one the default among `texts`, those of text.

    Raises InputError, with the columns and close matches, if there is none.
    """
    if name:
        require_one_of("column", name, columns, file)
        return name
    if DEFAULT in columns or len(texts) == 1:
        return DEFAULT if DEFAULT in columns else next(iter(texts))
    found = f"columns {', '.join(columns)}, and none is named" if columns else "no column"
    raise InputError(found, "one with text", file=file, field="data.column", hint="Name it: --set data.column=...")


def require_one_of(key: str, name: str, known: Collection[str], file: object) -> None:
    """Raise InputError, with close matches, unless `name`, the value of a key of `[data]`, is known."""
    if name not in known:
        found = f"no {key} {shown(name)}" if name else f"no {key}"
        expected = f"one of {', '.join(known)}" if known else f"a {key}"
        raise InputError(found, expected, file=file, field=f"data.{key}", hint=did_you_mean(name, known))


def null_error(found: str, file: object, *, line: int | None = None, field: str) -> InputError:
    """Return the error for a row without a text."""
    hint = "To skip such rows: --set data.nulls=skip"
    return InputError(found, "a string", file=file, line=line, field=field, hint=hint)

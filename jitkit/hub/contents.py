"""The files of a model that travel to and from the Hub: weights, manifest, tokenizer and codec, and model card."""

from __future__ import annotations

from collections.abc import Iterable

from jitkit.errors import RefusedError, shown
from jitkit.files import require_members
from jitkit.manifest.schema import Manifest
from jitkit.storage.exported_folder import FILM_STRIP, MANIFEST, README, SUMS, WEIGHTS

REQUIRED = (MANIFEST, WEIGHTS)
OPTIONAL = (README, FILM_STRIP)  # the model card
MAX_SIZE = 2**26  # bytes of a file other than the weights


def listed_files(manifest: Manifest, *, file: object) -> list[str]:
    """Return the names of the files that belong to a model: the only ones that are sent and received.

    Raises RefusedError if the manifest, read from `file`, names a file of its tokenizer or codec that is unsafe.
    """
    named = [use.options.get("file") for use in (manifest.tokenizer, manifest.codec)]
    embedded = list(dict.fromkeys(name for name in named if isinstance(name, str) and name))
    require_members(embedded, taken=(*REQUIRED, *OPTIONAL, SUMS), file=file, field="tokenizer.file or codec.file")
    return [*REQUIRED, *OPTIONAL, *embedded]


def require_listed(names: Iterable[str], manifest: Manifest, *, file: object) -> None:
    """Raise RefusedError if one of the files to send is not among those that belong to the model."""
    allowed = listed_files(manifest, file=file)
    for name in names:
        if name not in allowed:
            raise RefusedError(f"a file {shown(name)}", f"only {', '.join(allowed)}", file=file)

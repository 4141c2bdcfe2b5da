"""Names of models on the Hugging Face Hub: ``hf:owner/name`` or ``hf:owner/name@revision``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jitkit.errors import UsageError, shown

PREFIX = "hf:"
_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}[\w-])?"
_REFERENCE = re.compile(rf"(?P<id>{_PART}/{_PART})(?:@(?P<revision>[\w][\w./-]{{0,199}}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Reference:
    """A model on the Hub. `revision` is a branch, a tag, or a commit."""

    id: str  # "owner/name"
    revision: str = "main"

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}" + (f"@{self.revision}" if self.revision != "main" else "")

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a whole commit, which always has the same content."""
        return is_commit(self.revision)

    def path(self, name: str) -> str:
        """Return the name of a file of the model, for messages."""
        return f"{self}/{name}"

    def at(self, commit: str) -> Reference:
        """Return the same model at a commit."""
        return Reference(self.id, commit)


def is_reference(name: str | Path) -> bool:
    """Return whether a user's name of a model means one on the Hub."""
    return str(name).startswith(PREFIX)


def is_commit(revision: str) -> bool:
    """Return whether a revision is a whole commit: 40 hexadecimal digits."""
    return _COMMIT.fullmatch(revision) is not None


def parse_reference(name: str | Path) -> Reference:
    """Return the model that a user names, with or without ``hf:``. Raises UsageError for anything else."""
    found = _REFERENCE.fullmatch(str(name).removeprefix(PREFIX))
    if found is None or ".." in str(name) or "--" in found["id"]:
        raise UsageError(shown(str(name)), "hf:owner/name or hf:owner/name@revision", field="model of the Hub")
    return Reference(found["id"], found["revision"] or "main")

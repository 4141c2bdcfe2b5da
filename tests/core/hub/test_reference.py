"""Names of models on the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitkit.errors import UsageError
from jitkit.hub.reference import Reference, is_reference, parse_reference

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:ada/jit-nano", Reference("ada/jit-nano")),
        ("ada/a_b.c", Reference("ada/a_b.c")),
        ("hf:ada/x@v1.0", Reference("ada/x", "v1.0")),
        ("hf:ada/x@refs/pr/1", Reference("ada/x", "refs/pr/1")),
        (Path(f"hf:ada/x@{COMMIT}"), Reference("ada/x", COMMIT)),
    ],
)
def test_a_name_has_an_owner_and_perhaps_a_revision(name: str | Path, expected: Reference) -> None:
    assert parse_reference(name) == expected
    assert parse_reference(str(expected)) == expected
    assert expected.is_pinned == (expected.revision == COMMIT)


@pytest.mark.parametrize(
    "name",
    ["hf:", "hf:x", "hf:a/b/c", "hf:a/..", "hf:../b", "hf:a/b@", "hf:a/b@../c", "hf:a/b@-c", "hf:/a/b", "hf:a/.b", "hf:a--b/c",
    "hf:a/b\n", "hf:a/b ", "hf:a/\u202e", "hf:https://x/y", f"hf:{'a' * 99}/b", "hf:a/b@c d", "hf:a/b@c@d"],
)  # fmt: skip
def test_anything_else_is_a_mistake_of_the_user(name: str) -> None:
    with pytest.raises(UsageError, match=r"expected hf:owner/name or hf:owner/name@revision"):
        parse_reference(name)


def test_only_the_prefix_means_the_hub() -> None:
    assert is_reference("hf:a/b")
    assert is_reference(Path("hf:a/b"))
    assert not is_reference("ada/jit-nano")

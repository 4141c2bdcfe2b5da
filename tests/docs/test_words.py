"""The documentation stays short enough to read."""

from __future__ import annotations

from tests.docs.pages import ROOT

MAX_WORDS = 35_000
PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "plugins/**/*.md", "zoo/**/README.md")


def test_the_documentation_has_at_most_35_000_words() -> None:
    """Counts everything between white space, code included. Recorded results and lab notes are not documentation."""
    paths = {path for pattern in PATTERNS for path in ROOT.glob(pattern)}
    words = {path: len(path.read_text(encoding="utf-8").split()) for path in paths}
    longest = sorted(words, key=words.__getitem__, reverse=True)[:5]
    total = sum(words.values())
    listed = ", ".join(f"{path.relative_to(ROOT)} ({words[path]:,})" for path in longest)
    assert total <= MAX_WORDS, f"{total:,} words; the longest pages are {listed}"

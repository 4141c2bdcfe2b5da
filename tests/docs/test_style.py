"""README and docs stay short, and use the words of the field."""

import re

import pytest

from tests.docs.pages import ROOT, Page, pages

MOST_WORDS = 34_500
PAGES = [*pages(), *(Page(path) for path in sorted((ROOT / "zoo").rglob("*.md")))]
OTHER_WORDS = {
    "walk": "sampling trajectory",
    "judge": "n-gram language model",
    "contextless line": "context-free baseline",
    "lesson": "training task",
    "laws": "conformance tests",
    "colour": "color",
    "tokenise": "tokenize",
    "normalise": "normalize",
    "asked": "a plain verb",
    "whom": "who",
    "lest": "so that ... not",
    "anew": "again",
    "mend": "fix",
    "but for": "except for",
}


def name_of(page: Page) -> str:
    return str(page.path.relative_to(ROOT))


def test_the_docs_are_short_enough_to_read() -> None:
    assert sum(len(page.text.split()) for page in PAGES) <= MOST_WORDS


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_uses_the_words_of_the_field(page) -> None:
    for word, better in OTHER_WORDS.items():
        found = re.findall(rf"\b{word}(?:s|d|ed|ing)?\b", page.prose.lower())
        assert not found, f"{page.path}: write {better} for {found[0]}"

"""Links work, and every page is reachable from the index."""

import pytest

from tests.docs.pages import ROOT, Page, pages

RESEARCH = [Page(path) for path in sorted((ROOT / "research").rglob("*.md"))]


@pytest.mark.parametrize("page", [*pages(), *RESEARCH], ids=lambda page: str(page.path.relative_to(ROOT)))
def test_links_have_existing_targets(page) -> None:
    for target in page.links():
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        assert path.exists(), f"{page.path}: {target}"
        assert path.is_relative_to(ROOT), f"{page.path}: {target} leaves the repository"
        if anchor and path.suffix == ".md":
            assert anchor in Page(path).anchors(), f"{page.path}: {target}: no such heading"


def test_every_page_is_linked_from_the_index() -> None:
    seen, queue = set(), [ROOT / "docs" / "index.md"]
    while queue:
        path = queue.pop()
        if path in seen or path.suffix != ".md" or not path.is_relative_to(ROOT / "docs"):
            continue
        seen.add(path)
        targets = [link.partition("#")[0] for link in Page(path).links() if "://" not in link]
        queue += [(path.parent / target).resolve() for target in targets if target]
    unreachable = {page.path for page in pages() if page.path.is_relative_to(ROOT / "docs")} - seen
    assert not unreachable


def test_pictures_are_small() -> None:
    for path in (ROOT / "docs" / "pictures").iterdir():
        assert path.stat().st_size < 200_000, path

"""The architecture page matches the tree: its folders, their order, and every file it names."""

import re

from tests.core.test_imports import ORDER
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_page_lists_every_folder_of_the_core_in_import_order() -> None:
    table = TEXT.partition("## Folders")[2].partition("Outside the core:")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    names = [name.removesuffix("/").removesuffix(".py") for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert names == [name for name in ORDER if name != "__main__"]


def test_every_file_and_folder_that_the_page_names_exists() -> None:
    for path in re.findall(r"`((?:jitkit|plugins|research|tests|docs|zoo)/[^`\s]*)`", TEXT):
        assert (ROOT / path).exists(), path

"""The documentation site: complete, without broken links, and usable in a browser at phone and desktop width."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import jitkit
import jitkit.hookspecs
import jitkit.protocols
import jitkit.testing
from tests.chromium import Browser, find_chromium
from tests.docs.pages import ROOT, Page
from tests.file_server import serving_files

DOCS = ROOT / "docs"
FILES = runpy.run_path(str(DOCS / "site" / "pages.py"))["site_files"]()
PHONE, DESKTOP = 390, 1280
LOST_PUNCTUATION = """[...document.querySelectorAll('code.literal:not(.long)')].filter(({nextSibling, lastChild}) => {
  if (!/^[,.;:)]/.test(nextSibling?.data) || !lastChild.getClientRects().length) return false;
  const mark = document.createRange();
  mark.setStart(nextSibling, 0);
  mark.setEnd(nextSibling, 1);
  return mark.getBoundingClientRect().top > lastChild.getBoundingClientRect().bottom;
}).map(code => code.parentElement.textContent)"""  # at the start of a line; a long word may break anywhere
HIDDEN_COLUMNS = """[...document.querySelectorAll('.table-wrapper')]
  .filter(frame => frame.scrollWidth > frame.clientWidth)
  .map(frame => frame.innerText.slice(0, 80))"""
NUM_LINES = """(() => {
  const code = document.querySelector('.highlight pre'), lines = document.createRange();
  lines.selectNodeContents(code);
  return Math.round(lines.getBoundingClientRect().height / parseFloat(getComputedStyle(code).lineHeight));
})()"""
CHROMIUM = find_chromium()
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")


def test_every_page_has_a_place_in_the_navigation() -> None:
    listed = {"index"}
    for name, text in FILES.items():
        for entries in re.findall(r"^```\{toctree\}\n(?::.*\n)*\n((?:.+\n)+)```", str(text), re.MULTILINE):
            listed |= {(Path(name).parent / entry).as_posix() for entry in entries.splitlines()}
    text = (DOCS / "api" / "index.rst").read_text(encoding="utf-8")
    listed |= {f"api/{name}" for name in text.partition(":hidden:")[2].split()}
    pages = {name for name in FILES if Path(name).suffix in {".md", ".rst", ".ipynb"}}
    lost = {name for name in pages if name.rpartition(".")[0] not in listed and "orphan: true" not in str(FILES[name])}
    assert not lost, "add them to docs/index.md"


def test_every_command_has_a_page() -> None:
    commands = [title for title in Page(DOCS / "commands.md").headings() if title.startswith("jitkit")]
    titles = {str(text).partition("\n")[0] for name, text in FILES.items() if name.startswith("commands/")}
    assert titles == {f"# {command}" for command in commands}


def test_notes_for_tests_are_not_on_the_site() -> None:
    assert not [name for name, text in FILES.items() if re.search("<!-- (test|reference|end)", str(text))]


def test_the_gallery_has_every_picture_with_its_command() -> None:
    gallery = (DOCS / "gallery.md").read_text(encoding="utf-8")
    pictures = [path for path in (DOCS / "pictures").iterdir() if path.suffix in {".png", ".svg"}]
    assert {f"pictures/{path.name}" for path in pictures} == set(Page(DOCS / "gallery.md").links()) - {
        "codecs.md",
        "performance.md",
        "plugins.md",
    }
    assert gallery.count("```console") == len(pictures)


@pytest.fixture(scope="module")
def site(tmp_path_factory, programs_of) -> Path:
    """Return the folder of the site, built where jitkit is installed with the extra `docs`, and nothing else."""
    folder = tmp_path_factory.mktemp("build")
    command = [str(programs_of("jitkit[docs]") / "python"), str(DOCS / "site" / "build.py"), "html", str(folder)]
    environment = {
        **os.environ,
        "PYTHONPATH": "",
        "PYTHONWARNINGS": "",
    }  # deprecations within Sphinx are not warnings of a page
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def html_pages(site: Path) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if "_modules" not in path.parts]


class Targets(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links, self.anchors = set[str](), set[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.add(value)
            elif name == "id" and value:
                self.anchors.add(value)


@pytest.mark.slow
def test_every_link_within_the_site_has_a_target(site) -> None:
    pages = {path: Targets(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].anchors if target in pages else {parts.fragment}
            if not target.is_file() or (parts.fragment and parts.fragment not in known):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


@pytest.mark.slow
def test_the_reference_has_everything_public(site) -> None:
    hooks = {name for name, spec in vars(jitkit.hookspecs).items() if hasattr(spec, "jitkit_spec")}
    for page, module, names in (
        ("jitkit", "jitkit", set(jitkit.__all__) - {"__version__"}),
        ("protocols", "jitkit.protocols", set(jitkit.protocols.__all__)),
        ("hooks", "jitkit.hookspecs", hooks),
        ("testing", "jitkit.testing", set(jitkit.testing.__all__)),
    ):
        anchors = Targets(site / "api" / f"{page}.html").anchors
        assert not {name for name in names if f"{module}.{name}" not in anchors}
    assert "Upper bound on the bits" in (site / "api" / "jitkit.html").read_text(encoding="utf-8")
    assert "of the text that was scored" in (site / "api" / "jitkit.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    assert CHROMIUM
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_pages_fit_without_complaints_and_show_their_pictures(site, browser, width) -> None:
    for path in html_pages(site):
        look = browser.look(path, width)
        assert look.width <= width, f"{path}: {look.width} pixels wide"
        assert not look.complaints, path
        assert not browser.value(LOST_PUNCTUATION), path
        assert width == PHONE or not browser.value(HIDDEN_COLUMNS), path
        assert browser.value("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), path


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_source_page_has_the_lines_of_its_file(site, browser, width) -> None:
    for path in sorted((site / "_modules" / "jitkit").rglob("*.html")):
        file = (ROOT / path.relative_to(site / "_modules")).with_suffix(".py")
        browser.look(path, width)
        assert browser.value(NUM_LINES) == len(file.read_text(encoding="utf-8").strip().splitlines()), path


def eventually(browser: Browser, expression: str) -> object:
    """Return the value of an expression as soon as it is true, or its last value after ten seconds."""
    end = time.monotonic() + 10
    while not (value := browser.value(expression)) and time.monotonic() < end:
        time.sleep(0.05)
    return value


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_search_works_in_files(site, browser, width) -> None:
    look = browser.look(f"{(site / 'search.html').as_uri()}?q=codebook", width)
    assert eventually(
        browser, "[...document.querySelectorAll('.search li a')].some(a => a.href.includes('/codecs.html'))"
    )
    assert not look.complaints


@pytest.mark.slow
@needs_browser
def test_dark_mode_follows_the_system_and_the_button(site, browser) -> None:
    lightness = (
        "getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
    )
    browser.look(site / "index.html", DESKTOP, dark=True)
    assert browser.value(lightness) < 200
    browser.look(site / "index.html", DESKTOP)
    assert browser.value(lightness) > 600
    for _ in range(3):  # automatic, and two that stay
        theme = browser.value(
            "(document.querySelector('.content-icon-container .theme-toggle').click(), document.body.dataset.theme)"
        )
        assert (theme == "dark") == (browser.value(lightness) < 200)


@pytest.mark.slow
@needs_browser
def test_the_version_switcher_shows_what_is_published(site, browser, tmp_path) -> None:
    shown = "document.querySelector('.versions ul').innerText"
    browser.look(site / "index.html", DESKTOP)
    browser.value("document.querySelector('.versions').open = true")
    assert eventually(browser, shown) == "No other version is published."

    folder = tmp_path / jitkit.__version__
    folder.mkdir()
    for path in site.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "versions.json").unlink()
    (folder / "versions.json").write_text(json.dumps(["9.0.0", jitkit.__version__]))
    with serving_files(tmp_path) as root:
        browser.look(f"{root}/{jitkit.__version__}/commands/train.html", DESKTOP)
        browser.value("document.querySelector('.versions').open = true")
        assert eventually(browser, shown) == "9.0.0"
        assert browser.value("document.querySelector('.versions a').href") == f"{root}/9.0.0/index.html"

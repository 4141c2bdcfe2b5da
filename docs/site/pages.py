"""The pages of the site: those of docs/, and what they link to elsewhere in the repository.

On the site, the files of docs/ are at the top, and all others keep their path in the repository. A folder without a README
becomes a page that shows its files. The page of the commands becomes one page per command. The navigation follows the
sections of docs/index.md and the lists of each README.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
KINDS = (".md", ".ipynb", ".rst")  # of pages
INDEX, COMMANDS = DOCS / "index.md", DOCS / "commands.md"

_CODE = r"(?P<code>^(?P<indent> *)```.*?^(?P=indent)```$|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
_COMMENT = r"(?P<comment>^ *<!--.*?-->\n)"
_LINK = r"(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^)\s]+)\)"
_PIECES = re.compile(f"{_CODE}|{_COMMENT}|{_LINK}", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^#+ (.+)\n\n((?:- .*\n(?:  .*\n)*)+)", re.MULTILINE)
_COMMAND = re.compile(r"^## (?=jitkit)", re.MULTILINE)


@dataclass(frozen=True)
class Link:
    """A link to a file or folder of the repository, and perhaps to one of its headings."""

    path: Path
    anchor: str


def site_files() -> dict[str, str | Path]:
    """Return the files of the site by name: the text of a page, or the file to copy."""
    files: dict[str, str | Path] = {}
    for path in _reachable([path for kind in KINDS for path in DOCS.rglob(f"*{kind}")]):
        files[_name(path)] = _page(path) if path.suffix in {".md", ""} else path
    return files | _command_pages(files[_name(COMMANDS)])


def _reachable(start: Iterable[Path]) -> Iterator[Path]:
    """Yield files and folders of the repository: those given, and what they link to."""
    queue, seen = sorted(start), set[Path]()
    while queue:
        path = queue.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path
        if path.suffix == ".md":
            queue += [link.path for link in _links(path, path.read_text(encoding="utf-8"))]


def _links(page: Path, text: str) -> Iterator[Link]:
    """Yield the links of a page's text to files of the repository."""
    for match in _PIECES.finditer(text):
        if link := _link(page, match["target"]):
            yield link


def _link(page: Path, target: str | None) -> Link | None:
    name, _, anchor = (target or "").partition("#")
    if not name or ":" in name:
        return None
    path = (page.parent / name).resolve()
    return Link(path / "README.md" if (path / "README.md").exists() else path, anchor)


def _name(path: Path) -> str:
    """Return the name on the site of a file or folder of the repository."""
    place = path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()
    return f"{place}.md" if path.is_dir() else place


def _page(path: Path) -> str:
    """Return the text of a page, without comments, and with links to where files are on the site."""
    if path.is_dir():
        return _folder_page(path)
    text = path.read_text(encoding="utf-8")

    def piece(match: re.Match[str]) -> str:
        if match["comment"]:
            return ""
        link = _link(path, match["target"])
        return f"{match['text']}({_address(link, _name(path))})" if link else match[0]

    is_optional = "" if path.is_relative_to(DOCS) else "---\norphan: true\n---\n\n"
    return "\n".join([is_optional + _PIECES.sub(piece, text), *_navigation(path, text)])


def _address(link: Link, page: str) -> str:
    """Return the target of a link on a page of the site."""
    name, anchor = _name(link.path), link.anchor
    if link.path == COMMANDS and anchor.startswith("jitkit"):
        name, anchor = _command_page(anchor), ""
    return os.path.relpath(name, Path(page).parent) + (f"#{anchor}" if anchor else "")


def _folder_page(folder: Path) -> str:
    blocks = [
        f"## {file.name}\n\n```{_LANGUAGES.get(file.suffix, 'text')}\n{file.read_text(encoding='utf-8')}```\n"
        for file in sorted(folder.iterdir())
        if file.is_file()
    ]
    return "\n".join(["---\norphan: true\n---\n", f"# {folder.name}\n", *blocks])


_LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".md": "text"}


def _navigation(page: Path, text: str) -> Iterator[str]:
    """Yield the tables of contents of a page: the lists below the headings of the index, or a README's own folder."""
    if page == INDEX:
        for heading, items in _SECTION.findall(text):
            yield _toctree([_name(link.path) for link in _links(page, items)], heading)
    elif page.name == "README.md" and page.parent != ROOT:
        below = [link.path for link in _links(page, text) if link.path.is_relative_to(page.parent)]
        if names := [path.relative_to(page.parent).as_posix() for path in below if path.suffix == ".md"]:
            yield _toctree(names)


def _toctree(names: Iterable[str], caption: str = "") -> str:
    lines = [str(PurePosixPath(name).with_suffix("")) for name in dict.fromkeys(names)]
    return "\n".join(["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *lines, "```\n"])


def _command_pages(page: str | Path) -> Mapping[str, str]:
    """Return a page of all commands, and one page for each command, from the page that has them as sections."""
    introduction, *sections = _COMMAND.split(str(page))
    commands = dict(section.split("\n", 1) for section in sections)
    pages = {_name(COMMANDS): f"{introduction}\n## All commands\n\n{_subcommands('jitkit', commands, 'commands/')}"}
    for title, text in commands.items():
        below = _subcommands(title, commands) if title != "jitkit" else ""
        pages[_command_page(title)] = f"# {title}\n{text}\n{below}".replace("](commands.md#", "](../commands.md#")
    return pages


def _subcommands(group: str, commands: Mapping[str, str], folder: str = "") -> str:
    """Return a table of a group's commands, if there are any, and their place in the navigation."""
    titles = [title for title in commands if title.rpartition(" ")[0] == group or title == group == "jitkit"]
    names = {title: folder + PurePosixPath(_command_page(title)).name for title in titles}
    rows = [f"| [`{title}`]({name}) | {_summary(commands[title])} |" for title, name in names.items()]
    return "\n".join(["| command | summary |", "| --- | --- |", *rows, "", _toctree(names.values())]) if titles else ""


def _command_page(title: str) -> str:
    """Return the name of the page of `jitkit data prepare`, or of its anchor on the page of all commands."""
    return f"commands/{re.sub(r'^jitkit[- ](?=.)', '', title).replace(' ', '-')}.md"


def _summary(section: str) -> str:
    """Return the first sentence of a command's section, below its usage."""
    return section.split("\n\n")[1].partition(". ")[0].removesuffix(".") + "."

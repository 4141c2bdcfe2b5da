"""README and docs as data: pages, their code blocks, headings and links.

How a page says what a test of it must know, in a comment right above a block that readers do not see::

    <!-- test: jitkit train ... --set train.max_steps=4 -->   appended to commands that begin so, in this block
    <!-- test: write mine.toml -->                            the block is a file of the reader's folder
    <!-- test: part of docs/plugins/x/x.py -->                the block stands word for word in that file
    <!-- test: numbers vary -->                               any number in the output stands for any other
    <!-- test: skip, it makes an environment -->              not run, and why

In a ``console`` block a line that begins with ``$`` is a command, which goes on where it ends in a backslash; ``# exit 4``
at its end states an exit code other than 0. Lines below it are its output, with ``...`` for anything; no lines below it
mean that the output does not matter. The ``python`` blocks of a page share their names, as in one session.
"""

import re
import textwrap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = {"console", "python", "toml", "json", "text"}

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_NOTES = re.compile(r"(?:^ *<!-- test: .*? -->\n)+\Z", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block and what the test is told about it."""

    page: Path
    line: int
    language: str
    text: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def note(self, word: str) -> str | None:
        """Return what follows `word` in the note that begins with it; None without such a note."""
        for note in self.notes:
            if note.startswith(word):
                return note.removeprefix(word).strip(" ,")
        return None


@dataclass(frozen=True)
class Command:
    """One command of a console block."""

    line: str
    exit_code: int
    output: str


@dataclass(frozen=True)
class Page:
    """A Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        """The whole file."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The file without its code."""
        return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", self.text))

    def blocks(self) -> list[Block]:
        """Return the fenced blocks in order."""
        return [self._block(match) for match in _FENCE.finditer(self.text)]

    def _block(self, match: re.Match[str]) -> Block:
        above = _NOTES.search(self.text[: match.start()])
        notes = tuple(re.findall(r"<!-- test: (.*?) -->", above[0])) if above else ()
        line = self.text.count("\n", 0, match.start()) + 1
        return Block(self.path, line, match["language"], textwrap.dedent(match["text"]), notes)

    def headings(self) -> list[str]:
        """Return the headings as written, without their signs."""
        return re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", self.text), re.MULTILINE)

    def anchors(self) -> set[str]:
        """Return the anchors that headings make where Markdown is shown."""
        anchors: list[str] = []
        for heading in self.headings():
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            seen = len([a for a in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", a)])
            anchors.append(f"{slug}-{seen}" if seen else slug)
        return set(anchors)

    def links(self) -> list[str]:
        """Return the targets of links and pictures."""
        return [match["target"] for match in _LINK.finditer(self.prose)]


def pages() -> list[Page]:
    """Return README, CONTRIBUTING and everything below docs."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return [Page(path) for path in [*top, *sorted((ROOT / "docs").rglob("*.md"))]]


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block, with what its notes append."""
    found: list[Command] = []
    for part in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE):
        if not part.strip():
            continue
        assert part.startswith("$ "), f"{block}: a console block begins with a command"
        first, _, output = part[2:].replace("\\\n", "").partition("\n")
        line, _, code = first.partition("# exit ")
        for note in block.notes:
            beginning, dots, more = note.partition(" ... ")
            if dots and line.startswith(beginning):
                line = f"{line.rstrip()} {more}"
        found.append(Command(line.strip(), int(code or 0), output.strip("\n")))
    return found


def matches(expected: str, output: str, *, numbers_vary: bool = False) -> bool:
    """Tell whether an output is what a page shows, spaces aside."""
    pattern = []
    for line in expected.splitlines():
        if line.strip() == "...":
            pattern.append(r"(?:[^\n]*\n)*?")
            continue
        words = [_word(word, numbers_vary) for word in line.split()]
        pattern.append(r"\s*" + r"\s+".join(words) + r"[ \t]*\n")
    return re.fullmatch("".join(pattern) + r"\s*", output.strip("\n") + "\n") is not None


def _word(word: str, numbers_vary: bool) -> str:
    pattern = ".*".join(re.escape(piece) for piece in word.split("..."))
    return re.sub(r"\d(?:[\d,]|\\\.)*", lambda _: r"[\d.,]+", pattern) if numbers_vary else pattern

"""README and docs as data: pages, code blocks, headings, and links.

A comment directly above a code block gives the test a note that readers do not see::

    <!-- test: jitkit train ... --set train.max_steps=4 -->   append this to matching commands of the block
    <!-- test: write mine.toml -->                            write the block to this file before running the page
    <!-- test: part of examples/x/x.py -->                    the block is an exact excerpt of this file
    <!-- test: numbers vary -->                               numbers in the output match any other number
    <!-- test: skip, it makes an environment -->              do not run the block, with the reason

In a ``console`` block, a line that starts with ``$`` is a command, and a trailing backslash continues it. ``# exit 4`` at its
end is the expected exit code. The lines below are the expected output, in which ``...`` matches anything. Without such
lines the output is not checked. All ``python`` blocks of a page share one namespace.
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
    """A fenced block with its notes for the test."""

    page: Path
    line: int
    language: str
    text: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def note(self, word: str) -> str | None:
        """Return the rest of the note that starts with `word`, or None."""
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
        """The file's text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The file's text without code."""
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
        """Return the headings without their `#`."""
        return re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", self.text), re.MULTILINE)

    def anchors(self) -> set[str]:
        """Return the anchors of the headings, as GitHub generates them."""
        anchors: list[str] = []
        for heading in self.headings():
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            seen = len([a for a in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", a)])
            anchors.append(f"{slug}-{seen}" if seen else slug)
        return set(anchors)

    def links(self) -> list[str]:
        """Return the targets of links and images."""
        return [match["target"] for match in _LINK.finditer(self.prose)]


def pages() -> list[Page]:
    """Return README, CONTRIBUTING, and all pages in docs."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")]
    return [Page(path) for path in [*top, *sorted((ROOT / "docs").rglob("*.md"))]]


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block, with the options that its notes append."""
    found: list[Command] = []
    for part in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE):
        if not part.strip():
            continue
        assert part.startswith("$ "), f"{block}: a console block has to start with a command"
        first, _, output = part[2:].replace("\\\n", "").partition("\n")
        line, _, code = first.partition("# exit ")
        for note in block.notes:
            beginning, dots, more = note.partition(" ... ")
            if dots and line.startswith(beginning):
                line = f"{line.rstrip()} {more}"
        found.append(Command(line.strip(), int(code or 0), output.strip("\n")))
    return found


PROGRESS = re.compile(r"^jitkit: [a-z -]+: (\d+%, .* left|[\d.,]+ (bytes|[kMG]B)|\d+:\d\d:\d\d)\n", re.MULTILINE)


def matches(expected: str, output: str, *, numbers_vary: bool = False) -> bool:
    """Return whether an output matches the text on a page, ignoring whitespace and the progress of a slow command."""
    output, pattern = PROGRESS.sub("", output), []
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

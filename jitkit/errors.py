"""The errors that jitkit raises on purpose, with the exit code of a command.

A user sees one line per problem: ``jitkit: error: FILE[:LINE]: FIELD: found X; expected Y. HINT``.
"""

from __future__ import annotations

import difflib
import errno
import re
import reprlib
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import ClassVar

MAX_SHOWN = 120  # maximum characters of a found value in a message
MAX_PATH = 300  # maximum characters of a path or a key in a message
MAX_LINES = 20  # maximum lines of an error; the rest is counted


def visible(text: str, keep: str = "") -> str:
    """Return `text` with control, format and bidirectional characters escaped except `keep`, safe to print on a terminal."""
    return "".join(c if c in keep else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    unsafe = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return character.encode("unicode_escape").decode() if unsafe else character


_NESTED = reprlib.Repr()  # its work is bounded for data of any depth, and for data that contains itself
_NESTED.maxlevel = 3
_NESTED.maxdict = _NESTED.maxlist = _NESTED.maxtuple = _NESTED.maxset = 24
_NESTED.maxstring = _NESTED.maxlong = _NESTED.maxother = MAX_SHOWN


def shown(value: object) -> str:
    """Return a found value for a message: its escaped repr, at most `MAX_SHOWN` characters."""
    try:
        text = _NESTED.repr(value) if isinstance(value, dict | list | tuple | set) else repr(value)
    except (RecursionError, ValueError):  # an integer of thousands of digits
        text = f"a {type(value).__name__}"
    return shortened(visible(text))


def shortened(text: str, limit: int = MAX_SHOWN) -> str:
    """Return `text` with at most `limit` characters; three dots end a shortened text."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode `text`: false for file names and arguments that are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 epoch", "2 epochs", "2,048 entries"."""
    return f"{number:,} {noun if number == 1 else _plural(noun)}"


def _plural(noun: str) -> str:
    if noun.endswith("y"):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "tch")) else "s")


def did_you_mean(name: str, known: Iterable[str], form: str = "{}") -> str:
    """Return "Did you mean X?" for the known name closest to `name`, in the given form, or "" if none is close."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {form.format(near[0])}?" if near else ""


_FLAGS = ("overwrite", "quick")
_OPTIONS = ("data", "device", "infill", "init", "limit", "out", "prompt", "resume", "teacher", *_FLAGS)
_OPTION = re.compile(rf"--({'|'.join(_OPTIONS)})\b(?: (auto\b|[A-Z]+\b))?(:?)")
_OVERRIDE = re.compile(r"--set ([\w.]+)=(\S*?)(?=[.,;?`)]*(?:\s|$))")


def in_python(text: str) -> str:
    """Return a message that names options of the commands with the arguments of the Python API instead."""
    text = _OVERRIDE.sub(lambda found: f'overrides={{"{found[1]}": {found[2] or "..."}}}', text)
    text = re.sub(r"--set ('[^']*')", r"overrides=[\1]", text).replace("--set", "overrides")
    text = _OPTION.sub(_argument, text.replace("--metric:", "metrics:"))
    return re.sub(r"\bMANIFEST:", "manifest:", text)


def _argument(option: re.Match[str]) -> str:
    name, value, colon = option.groups()
    if colon:
        return f"{name}:"
    return f"{name}=True" if name in _FLAGS else f"{name}={shown(value) if value == 'auto' else value or ''}"


@dataclass(frozen=True)
class Problem:
    """One problem: where it is, what was found, what was expected, and a hint for fixing it.

    `found` and `expected` are noun phrases ("1048575 bytes", "an integer >= 1"). Apply `shown` to raw values first.
    """

    found: str
    expected: str = ""
    file: str | None = None
    line: int | None = None
    field: str | None = None
    hint: str = ""

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        where = [shortened(visible(self.file), MAX_PATH) + line] if self.file else []
        where += [shortened(visible(self.field), MAX_PATH)] if self.field else []
        what = f"found {self.found}" + (f"; expected {self.expected}" if self.expected else "")
        hint = f" {self.hint}" if self.hint else ""
        return ": ".join([*where, visible(what)]) + "." + visible(hint)


class RenamedKeyWarning(FutureWarning):
    """A manifest has a key under its old name, which is still read."""


class UnpinnedWarning(UserWarning):
    """A model of the Hub was named without a commit. The message is the commit that it is now."""


class JitkitError(Exception):
    """Base class of all errors raised on purpose. It has one or more problems and the exit code of the command."""

    exit_code: ClassVar[int] = 1

    def __init_subclass__(cls, exit_code: int | None = None) -> None:
        if exit_code is not None:
            cls.exit_code = exit_code

    def __init__(
        self,
        found: str = "",
        expected: str = "",
        *,
        file: object = None,
        line: int | None = None,
        field: str | None = None,
        hint: str = "",
        problems: Sequence[Problem] = (),
    ) -> None:
        path = None if file is None else str(file)
        self.problems = tuple(problems) or (Problem(found, expected, path, line, field, hint),)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def code(self) -> int:
        """The exit code of the command."""
        return self.exit_code

    def lines(self) -> list[str]:
        """Return the lines to print: one for each of the first problems, and their number if there are several."""
        lines = [f"error: {problem}" for problem in self.problems[:MAX_LINES]]
        hidden = f" ({MAX_LINES} shown)" if len(self.problems) > MAX_LINES else ""
        return lines if len(self.problems) == 1 else [*lines, counted(len(self.problems), "error") + hidden]

    def as_json(self) -> dict[str, object]:
        """Return the document that `--json` prints: `{"error": {code, file, line, field, found, expected, hint}}`."""
        first, *others = [asdict(problem) for problem in self.problems]
        error: dict[str, object] = {"code": self.code, **first}
        return {"error": {**error, "others": others} if others else error}


class UsageError(JitkitError, exit_code=2):
    """A command was called incorrectly."""


class ManifestError(JitkitError, exit_code=3):
    """A manifest or an override is invalid."""


class InputError(JitkitError, exit_code=4):
    """Data, a tokenizer, image or checkpoint is missing, damaged or does not fit."""


class PluginError(JitkitError, exit_code=5):
    """A plugin is missing, cannot be loaded, breaks its contract or conflicts with another."""


class ResourceError(JitkitError, exit_code=6):
    """Disk space, memory, a device, the network, a lock or an optional package is not available."""


def missing_package(name: str, purpose: str, extra: str, *, field: str | None = None) -> ResourceError:
    """Return the error for a package of an extra that is not installed. `purpose` is what needs it."""
    hint = f"pip install 'jitkit[{extra}]'"
    return ResourceError(f"no package {name}", f"an installed one, for {purpose}", field=field, hint=hint)


class DivergedError(JitkitError, exit_code=7):
    """A loss or gradient norm in training is not finite."""


class RefusedError(JitkitError, exit_code=8):
    """Refused for safety: a wrong hash, a path outside its folder, an excessive size, or code in data."""


class Stopped(JitkitError):
    """A signal stopped the command after its results had been saved."""

    def __init__(self, signal_number: int, saved: str) -> None:
        self.signal_number = signal_number
        super().__init__(f"signal {signal_number}", hint=saved)

    @property
    def code(self) -> int:
        """The exit code by shell convention: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.signal_number

    def lines(self) -> list[str]:
        """Return what was saved, or nothing: only the main process of a group prints it."""
        return [visible(problem.hint) for problem in self.problems if problem.hint]


class InternalError(JitkitError):
    """A bug."""

    def __init__(self, error: Exception) -> None:
        self.__cause__ = error
        hint = "This is a bug. Please report it with the output of `jitkit --debug ...`."
        super().__init__(f"{type(error).__name__}: {str(error)[:300]}", hint=hint)

    def lines(self) -> list[str]:
        """Return the error and the request to report it."""
        problem = self.problems[0]
        return [f"internal error: {visible(problem.found)}", problem.hint]


# torch's words on MPS, and elsewhere
_MISSING_KERNEL = re.compile(
    r"(?:operator|Could not run) '([\w:.]+)' "
    r"(?:is not currently implemented for the|with arguments from the) '?(\w+)'? (?:device|backend)"
)
MEMORY_HINT = "Reduce train.batch_size, the model or the text, or close other programs."


def as_jitkit_error(error: Exception) -> JitkitError:
    """Return what a user sees of any exception."""
    if isinstance(error, JitkitError):
        return error
    if ran_out_of_memory(error):
        return ResourceError("not enough memory", "a smaller workload", hint=MEMORY_HINT)
    return _missing_kernel(error) or InternalError(error)


def _missing_kernel(error: Exception) -> ResourceError | None:
    """Return the error for an operation of torch that a device lacks; None if `error` means something else."""
    found = _MISSING_KERNEL.search(str(error))
    if not isinstance(error, NotImplementedError) or found is None:
        return None
    operation, device = found.groups()
    hint = "" if device == "CPU" else "Try --device cpu."
    if device == "MPS":
        hint = "Set PYTORCH_ENABLE_MPS_FALLBACK=1 to run it on the CPU, or use --device cpu."
    return ResourceError(f"no {operation} on {device}", "a device with this operation", field="--device", hint=hint)


def first_line(error: Exception) -> str:
    """Return the first line of what another library reports, without a period, for a message; "no reason" if it is empty."""
    return (str(error).strip() or "no reason").splitlines()[0].rstrip(".")


def io_reason(error: OSError | ValueError) -> str:
    """Return why the system refused to read or write a file, for a message."""
    return (getattr(error, "strerror", None) or str(error)).lower()


@contextmanager
def reading(
    path: object,
    expected: str = "a readable file",
    *,
    field: str | None = None,
    hint: str = "",
    error: type[JitkitError] = InputError,
) -> Iterator[None]:
    """Raise `error` about `path` if reading it inside the block fails; ResourceError if there is not enough memory."""
    try:
        yield
    except OSError as reason:
        if reason.errno == errno.ENOMEM:
            raise ResourceError("not enough memory", "memory for the file", file=path) from reason
        raise error(io_reason(reason), expected, file=path, field=field, hint=hint) from reason


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means out of memory. For CPU memory, torch raises a plain RuntimeError."""
    torch = sys.modules.get("torch")  # not imported: torch cannot have run out of memory
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)

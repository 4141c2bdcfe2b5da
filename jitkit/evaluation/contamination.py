"""Detecting contamination: held-out documents that are also in the training text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from jitkit.errors import InputError, shown

LENGTH = 64  # characters of a substring, a power of two; shorter documents are not checked
MAX_SHARED = 0.5  # share of a document's substrings that may be in the training text
BASE = 0x9E3779B97F4A7C15

Hashes = npt.NDArray[np.uint64]


def refuse_contamination(held_out: Iterable[str], training: Iterable[str], *, file: str) -> None:
    """Raise InputError, naming the documents, if one shares more than `MAX_SHARED` of its substrings with the training text.

    Substrings of `LENGTH` characters are compared by 64-bit hashes. Any two texts of a kind share some (licenses,
    headings), but not half of a document.
    """
    by_document = [np.unique(_hashes(text)) for text in held_out]
    every = np.unique(np.concatenate([_hashes(""), *by_document]))
    if not len(every):
        return
    source, beginnings = _sources(every, training)
    shared = []
    for index, hashes in enumerate(by_document):
        found = source[np.searchsorted(every, hashes)]
        share = float((found >= 0).mean()) if len(hashes) else 0.0
        if share > MAX_SHARED:
            numbers, counts = np.unique(found[found >= 0], return_counts=True)
            number = int(numbers[counts.argmax()])
            document = f"training document {number + 1}, {shown(beginnings[number])}"
            shared.append(f"{index + 1} ({share:.0%} of it in {document})")
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        problem = f"held-out documents that the model was trained on: {'; '.join(shared[:3])}{more}"
        hint = "Remove them, or use other text: --data PATH"
        raise InputError(problem, "text that is not in the training text", file=file, field="data", hint=hint)


def _sources(every: Hashes, training: Iterable[str]) -> tuple[npt.NDArray[np.int64], dict[int, str]]:
    """Return the first training document of each hash (-1: none), and the beginnings of these documents."""
    source = np.full(len(every), -1)
    beginnings = {}
    for number, document in enumerate(training):
        hashes = _hashes(document)
        places = np.searchsorted(every, hashes).clip(max=len(every) - 1)
        found = places[every[places] == hashes]
        if len(found):
            source[found[source[found] < 0]] = number
            beginnings[number] = document[:40]
    return source, beginnings


def _hashes(text: str) -> Hashes:
    """Return a hash [n - LENGTH + 1] of every substring of `LENGTH` characters; empty for a shorter text."""
    points = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
    hashes = points.astype(np.uint64) + np.uint64(1)
    if len(hashes) < LENGTH:
        return hashes[:0]
    length, power = 1, BASE
    while length < LENGTH:
        hashes = hashes[:-length] * np.uint64(power) + hashes[length:]
        power, length = power**2 % 2**64, 2 * length
    return hashes

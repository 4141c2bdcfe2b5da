"""PeakMemoryMode-out documents that the training text has as well: whoever remembers them seems to understand them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from jitkit.errors import InputError, shown

STRETCH = 64  # characters, a power of two; shorter documents prove nothing
MOST_SHARED = 0.5  # share of a document's stretches that may stand in the training text
BASE = 0x9E3779B97F4A7C15

Hashes = npt.NDArray[np.uint64]


def refuse_contamination(held_out: Iterable[str], training: Iterable[str], *, file: str) -> None:
    """Raise InputError, naming the documents, when more than `MOST_SHARED` of one's stretches is in the training text.

    A stretch is `STRETCH` characters from any place on, letter for letter. Some are shared by any two texts of one kind
    (licences, headings); half of a document is not. Stretches are compared by 64-bit hashes.
    """
    stretches = {index: np.unique(_hashes(text)) for index, text in enumerate(held_out)}
    beginnings = {}
    every = np.unique(np.concatenate([np.zeros(0, np.uint64), *stretches.values()]))
    if not len(every):
        return
    seen = np.zeros(len(every), bool)
    where = np.full(len(every), -1)
    for number, document in enumerate(training):
        hashes = _hashes(document)
        places = np.searchsorted(every, hashes).clip(max=len(every) - 1)
        found = places[every[places] == hashes]
        if len(found):
            where[found[~seen[found]]] = number
            seen[found] = True
            beginnings[number] = document[:40]
    shared = []
    for index, hashes in stretches.items():
        places = np.searchsorted(every, hashes)
        if len(hashes) and seen[places].mean() > MOST_SHARED:
            numbers, counts = np.unique(where[places][seen[places]], return_counts=True)
            shared.append((index, float(seen[places].mean()), int(numbers[counts.argmax()])))
    if shared:
        named = "; ".join(
            f"{index + 1} ({share:.0%} of it in training document {number + 1}, {shown(beginnings[number])})"
            for index, share, number in shared[:3]
        )
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise InputError(
            f"held-out documents that the model was trained on: {named}{more}",
            "text that it has not seen",
            file=file,
            field="data",
            hint="Take them out, or name other text: --data PATH",
        )


def _hashes(text: str) -> Hashes:
    """Return a hash [n - STRETCH + 1] of every stretch of `text`; none of a shorter one."""
    hashes = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4").astype(np.uint64) + np.uint64(
        1
    )
    if len(hashes) < STRETCH:
        return hashes[:0]
    length, power = 1, BASE
    while length < STRETCH:
        hashes = hashes[:-length] * np.uint64(power) + hashes[length:]
        power, length = power**2 % 2**64, 2 * length
    return hashes

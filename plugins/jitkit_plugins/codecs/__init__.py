"""Built-in codecs."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit


@jitkit.hookimpl
def jitkit_codecs() -> Sequence[type[jitkit.Component]]:
    """Return `base256`, `bits`, `code`, `palette`, `digits`, and `table`."""
    from jitkit_plugins.codecs.base256 import Base256
    from jitkit_plugins.codecs.bits import Bits
    from jitkit_plugins.codecs.code import Code
    from jitkit_plugins.codecs.digits import StretchedDigits
    from jitkit_plugins.codecs.palette import Palette
    from jitkit_plugins.codecs.table import Table

    return [Base256, Bits, Code, Palette, StretchedDigits, Table]

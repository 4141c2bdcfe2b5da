"""Built-in codecs."""

import jitkit


@jitkit.hookimpl
def jitkit_codecs() -> list[type]:
    """Return `base256`, `bits`, `code`, `palette`, `digits`, and `table`."""
    from jitkit_plugins.codecs.base256 import Base256
    from jitkit_plugins.codecs.bits import Bits
    from jitkit_plugins.codecs.code import Code
    from jitkit_plugins.codecs.digits import StretchedDigits
    from jitkit_plugins.codecs.palette import Palette
    from jitkit_plugins.codecs.table import Table

    return [Base256, Bits, Code, Palette, StretchedDigits, Table]

"""Built-in data sources."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit


@jitkit.hookimpl
def jitkit_data_sources() -> Sequence[type[jitkit.Component]]:
    """Provide `python-docs`, `text` and `text8`."""
    from jitkit_plugins.sources.python_docs import PythonDocsSource
    from jitkit_plugins.sources.text import TextSource
    from jitkit_plugins.sources.text8 import Text8Source

    return [PythonDocsSource, TextSource, Text8Source]

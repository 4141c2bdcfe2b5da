"""Built-in data sources."""

import jitkit


@jitkit.hookimpl
def jitkit_data_sources() -> list[type]:
    """Provide `csv`, `grammar`, `hub`, `parquet`, `python-docs`, `text`, `text8` and `tsv`."""
    from jitkit_plugins.sources.grammar import GrammarSource
    from jitkit_plugins.sources.hub import HubSource
    from jitkit_plugins.sources.parquet import ParquetSource
    from jitkit_plugins.sources.python_docs import PythonDocsSource
    from jitkit_plugins.sources.tables import CsvSource, TsvSource
    from jitkit_plugins.sources.text import TextSource
    from jitkit_plugins.sources.text8 import Text8Source

    return [PythonDocsSource, TextSource, Text8Source, CsvSource, TsvSource, ParquetSource, HubSource, GrammarSource]

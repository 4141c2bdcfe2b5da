"""How fast text is prepared (survey, tokenise, write, verify), and how fast batches are drawn.

    python research/data.py [TEXT]

TEXT is a file or folder; without it, the reference texts inside Python, repeated to 32 MB. Prints one line a figure.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from jitkit.data.shards import prepare
from jitkit.data.windows import Windows
from jitkit.discovery import Registry, create_plugin_manager
from jitkit.execution.memory import peak_memory
from jitkit.files import Files

TOKENIZERS = {"bytes": {}, "tiktoken": {"file": "tokenizers/multi-16k.tiktoken"}}
ZOO = Path(__file__).parents[1] / "zoo"
MEGABYTES = 32


def main() -> None:
    registry = Registry(create_plugin_manager())
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}; one thread")
    with tempfile.TemporaryDirectory() as folder:
        text = sys.argv[1] if len(sys.argv) > 1 else str(write_corpus(registry, Path(folder, "corpus.txt")))
        component = registry.component("data", "text")(path=text)
        for name, options in TOKENIZERS.items():
            source = component.build(Files(Path(), allowed=frozenset({text})))
            tokenizer = registry.component("tokenizer", name)(**options).build(Files(ZOO))
            cache = Path(folder, name)
            started = time.perf_counter()
            data = prepare(source, tokenizer, cache=cache)
            seconds = time.perf_counter() - started
            num_bytes = data.train.num_bytes + data.validation.num_bytes
            print(f"prepare {name}: {num_bytes / 1e6 / seconds:.1f} MB/s ({num_bytes / 1e6:.1f} MB)")
            started = time.perf_counter()
            prepare(component.build(Files(Path(), allowed=frozenset({text}))), tokenizer, cache=cache)
            print(f"open prepared {name}: {num_bytes / 1e6 / (time.perf_counter() - started):.1f} MB/s")
            windows = Windows(data.train, 256)
            started = time.perf_counter()
            for step in range(1000):
                windows.tokens(windows.batch_starts(0, step, 64))
            print(f"draw {name}: {time.perf_counter() - started:.2f} ms a batch of 64 windows of 256")
    print(f"peak memory: {(peak_memory() or 0) / 2**20:.0f} MiB")


def write_corpus(registry: Registry, path: Path) -> Path:
    source = registry.component("data", "python-docs")().build(Files(Path()))
    text = "\n".join(source.documents("train"))
    path.write_text(text * (MEGABYTES * 1_000_000 // len(text.encode())), encoding="utf-8", newline="")
    return path


main()

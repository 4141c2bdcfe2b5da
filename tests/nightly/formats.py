"""The files that jitkit reads, and the commands that read each of them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.nightly import mutations as damage
from tests.tiny import tiny_toml

TEXT = "It was a bright cold day, and the clocks were striking. The rain had not yet come to the hills.\n" * 30
SETTINGS = (
    "backbone={use='jit', image_size=8, patch_size=2, embed_dim=16, depth=1, num_heads=1}",
    "codec={use='bits'}",
    "sampler.steps=1",
    "data={use='text', path='text.txt', validation_fraction=0.2}",
    "train={max_steps=6, batch_size=48, lr=1e-3, warmup_steps=1, validation_windows=4, precision='fp32', compile='off', keep=2}",
)
GRID = 'manifest = "tiny.toml"\nseeds = [0, 1]\n\n[axes]\n"train.lr" = [1e-3, 1e-2]\n'


@dataclass(frozen=True)
class Format:
    """A file in the seed folder, how to damage it, and the commands that read it. One of them is run per input."""

    name: str
    file: str
    mutations: tuple[damage.Mutation, ...]
    commands: tuple[str, ...]
    container: damage.Mutation | None = None  # damages the content below correct checksums
    repair: Callable[[Path], None] | None = None  # makes the rest of the folder agree with the damaged file

    def damaged(self, rng: random.Random, content: bytes) -> bytes:
        """Return the damaged content of the file, half of the time inside of its container."""
        if self.container is not None and rng.random() < 0.5:
            return self.container(rng, content)
        return damage.mutate(rng, content, self.mutations)


def update_sha256(folder: Path) -> None:
    """Write the SHA-256 of damaged weights into the exported manifest, so that they are parsed."""
    manifest = folder / "exported/manifest.toml"
    digest = hashlib.sha256((folder / "exported/model.safetensors").read_bytes()).hexdigest()
    manifest.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{digest}"', manifest.read_text()))


RESUME = "train tiny.toml --out run --resume auto --json"
COMPARE = "compare run other --json"
GENERATE = "generate {} -n 1 --steps 1 --device cpu --json"

FORMATS = (
    Format("manifest", "tiny.toml", damage.TEXT, ("zoo check tiny.toml --json", "train tiny.toml --dry-run", "zoo show tiny.toml")),
    Format("grid", "grid.toml", damage.TEXT, ("ablate grid.toml --dry-run --json",)),
    Format(
        "checkpoint",
        "run/best_model.pth",
        damage.BYTES,
        (GENERATE.format("run"), "export run/best_model.pth -o copy", "eval --checkpoint run/best_model.pth --quick --limit 1 --json"),
        container=damage.inside_zip,
    ),
    Format("resumed", "run/checkpoint_epoch_2.pth", damage.BYTES, (RESUME, RESUME), container=damage.inside_zip),
    Format(
        "weights",
        "exported/model.safetensors",
        damage.BYTES,
        (GENERATE.format("exported"), GENERATE.format("exported/model.safetensors")),
        container=damage.inside_safetensors,
        repair=update_sha256,
    ),
    Format("exported-manifest", "exported/manifest.toml", damage.TEXT, (GENERATE.format("exported"), "export exported -o copy")),
    Format("run-manifest", "run/manifest.toml", damage.TEXT, (COMPARE, RESUME)),
    Format("run-index", "run/run_index.json", damage.TEXT, (RESUME, GENERATE.format("run"))),
    Format("run-state", "run/run_state.json", damage.TEXT, (RESUME,)),
    Format("metrics", "run/metrics.jsonl", damage.TEXT, (COMPARE, RESUME)),
    Format("report", "report/report.json", damage.TEXT, ("compare report run --json", "compare report run --out page.html")),
    Format("vocabulary", "words.tiktoken", damage.TEXT, ("tokenizer inspect words.tiktoken --text hello --json",)),
    Format(
        "codebook",
        "table.png",
        damage.BYTES,
        ("codec inspect table --set codec.file=table.png --vocab-size 258 --image-size 16 --num-tokens 16",),
        container=damage.inside_png,
    ),
    Format("picture", "album/{}", damage.BYTES, ("decode album -m tiny.toml -o decoded.txt --json",), container=damage.inside_png),
    Format("album-index", "album/index.json", damage.TEXT, ("decode album -m tiny.toml -o decoded.txt --json",)),
    Format("gallery", "run/gallery.json", damage.TEXT, ("compare run other --out page.html",)),
    Format("text", "text.txt", damage.TEXT, ("data inspect tiny.toml --json", "encode text.txt -m tiny.toml -o pictures --json")),
    Format("jsonl", "texts/a.jsonl", damage.TEXT, ("data inspect tiny.toml --data texts/a.jsonl --json",)),
    Format("gzip", "texts/b.txt.gz", damage.BYTES, ("data inspect tiny.toml --data texts --json",), container=damage.inside_gzip),
    Format("prepared-index", "cache/{index}", damage.TEXT, ("data inspect tiny.toml --json",)),
    Format("prepared-tokens", "cache/{tokens}", damage.BYTES, ("data inspect tiny.toml --json", "train tiny.toml --out new --json")),
)  # fmt: skip


def build_seeds(folder: Path) -> tuple[Format, ...]:
    """Write one good file of each format into `folder` with real commands, and return the formats with their paths."""
    folder.mkdir(parents=True)
    (folder / "text.txt").write_text(TEXT)
    (folder / "tiny.toml").write_text(tiny_toml(*SETTINGS))
    (folder / "grid.toml").write_text(GRID)
    (folder / "page.txt").write_text(TEXT[:200])
    (folder / "texts").mkdir()
    (folder / "texts/a.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in TEXT.splitlines()))
    (folder / "texts/b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    pieces = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" the", b"in"]
    vocabulary = b"".join(base64.b64encode(piece) + b" %d\n" % rank for rank, piece in enumerate(pieces))
    (folder / "words.tiktoken").write_bytes(vocabulary)
    for command in (
        "train tiny.toml --out run",
        "train tiny.toml --out other --set train.seed=1",
        "eval --checkpoint run/best_model.pth --quick --limit 2 --out report",
        "export run/best_model.pth -o exported",
        "encode page.txt -m tiny.toml -o album",
        "codec fit tiny.toml --data text.txt -o table.png --numbers 0",
    ):
        _run(command.split(), folder)
    first = min((folder / "album").glob("*.png"), key=lambda path: path.name).name
    index = next(folder.glob("cache/**/index.json"))
    places = {
        "picture": f"album/{first}",
        "prepared-index": str(index.relative_to(folder)),
        "prepared-tokens": str((index.parent / "train-00000.bin").relative_to(folder)),
    }
    named = (Format(**{**vars(one), "file": places.get(one.name, one.file)}) for one in FORMATS)
    return tuple(one for one in named if _exists(folder, one))


def copy_seeds(seeds: Path, folder: Path) -> None:
    """Copy the seed folder, replacing an earlier copy."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(seeds, folder, symlinks=True)


def environment(folder: Path) -> dict[str, str]:
    """Return the variables that a command in `folder` needs: its own cache, one thread."""
    return {
        "JITKIT_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "PYTHONUTF8": "1",
    }


def _exists(folder: Path, one: Format) -> bool:
    if (folder / one.file).is_file():
        return True
    sys.stderr.write(f"warning: no seed for {one.name}: {one.file}\n")
    return False


def _run(arguments: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "jitkit", *arguments]
    subprocess.run(command, cwd=folder, env=os.environ | environment(folder), check=True, capture_output=True)

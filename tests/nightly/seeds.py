"""One good file of each format, written by real commands, and copies of them."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.hub_server import serving
from tests.nightly.formats import FORMATS, HUB, Format
from tests.nightly.mutations import zstd
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
LINES = TEXT.splitlines()
JSONL = "".join(json.dumps({"text": line}) + "\n" for line in LINES)
COMMANDS = (
    "train tiny.toml --out run",
    "train tiny.toml --out other --set train.seed=1",
    "train tiny.toml --out sharded --set parallel.checkpoint='shards'",
    "eval --checkpoint run/best_model.pth --quick --limit 2 --out report",
    "export run/best_model.pth -o exported",
    "encode page.txt -m tiny.toml -o album",
    "codec fit tiny.toml --data text.txt -o table.png --numbers 0",
)


def build_seeds(folder: Path) -> tuple[Format, ...]:
    """Write one good file of each format into `folder`, and return the formats with the paths of these files.

    Formats of packages that are not installed are left out, with a warning.
    """
    folder.mkdir(parents=True)
    (folder / "text.txt").write_text(TEXT)
    (folder / "tiny.toml").write_text(tiny_toml(*SETTINGS))
    (folder / "grid.toml").write_text(GRID)
    (folder / "page.txt").write_text(TEXT[:200])
    pieces = [bytes([byte]) for byte in range(256)] + [b"th", b"the", b" the", b"in"]
    vocabulary = b"".join(base64.b64encode(piece) + b" %d\n" % rank for rank, piece in enumerate(pieces))
    (folder / "words.tiktoken").write_bytes(vocabulary)
    for command in COMMANDS:
        _run(command.split(), folder)
    for name, write in {
        "texts": _write_texts,
        "packed": _write_archives,
        "zstd": _write_zstd,
        "tables": _write_tables,
        "encoded": _write_encoded,
        "parquet": _write_parquet,
        "saved": _write_saved,
        "Hub": _pull,
    }.items():
        _if_installed(name, write, folder)
    return tuple(found for one in FORMATS if (found := _located(one, folder)))


def copy_seeds(seeds: Path, folder: Path) -> None:
    """Copy the seed folder, replacing an earlier copy."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(seeds, folder, symlinks=True)


def environment(folder: Path) -> dict[str, str]:
    """Return the variables that a command in `folder` needs: its own caches, one thread, and no connection."""
    return {
        "JITKIT_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "cache/huggingface"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "PYTHONUTF8": "1",
    }


def _write_texts(folder: Path) -> None:
    (folder / "texts").mkdir()
    (folder / "texts/a.jsonl").write_text(JSONL)
    (folder / "texts/b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))


def _write_archives(folder: Path) -> None:
    members = {"a.txt": TEXT, "b/c.jsonl": JSONL, "b/d.md": "# Day\n\n" + TEXT[:200]}
    (folder / "packed").mkdir()
    with zipfile.ZipFile(folder / "packed/a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    (folder / "packed/a.tar").write_bytes(content.getvalue())
    (folder / "packed/a.tar.gz").write_bytes(gzip.compress(content.getvalue()))


def _write_zstd(folder: Path) -> None:
    (folder / "packed/a.txt.zst").write_bytes(zstd(TEXT.encode()))
    (folder / "packed/a.tar.zst").write_bytes(zstd((folder / "packed/a.tar").read_bytes()))


def _write_tables(folder: Path) -> None:
    (folder / "tables").mkdir()
    rows = [("id", "text"), *enumerate(f'"{line}",\nor not' for line in LINES)]
    for suffix, delimiter in {"csv": ",", "tsv": "\t"}.items():
        with (folder / f"tables/a.{suffix}").open("w", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows(rows)


def _write_encoded(folder: Path) -> None:
    (folder / "encoded").mkdir()
    (folder / "encoded/western.txt").write_text("Le cœur a ses raisons, “déjà vu” – naïve.\n" * 30, encoding="cp1252")
    (folder / "encoded/wide.txt").write_text("Le cœur a ses raisons. 𝄞\n" * 30, encoding="utf-16")
    (folder / "encoded/japanese.txt").write_text("吾輩は猫である。名前はまだ無い。\n" * 30, encoding="shift_jis")


def _write_parquet(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {"id": list(range(len(LINES))), "text": [f"{number}: {line}" for number, line in enumerate(LINES)]}
    )
    pq.write_table(table, folder / "tables/a.parquet", row_group_size=20)


def _write_saved(folder: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": [f"{number}: {line}" for number, line in enumerate(LINES)]}).save_to_disk(
        folder / "saved"
    )
    use = "data={use='hub', path='saved', validation_fraction=0.2}"
    (folder / "saved.toml").write_text(tiny_toml(*SETTINGS, use))


def _pull(folder: Path) -> None:
    import huggingface_hub  # noqa: F401 (skips the format if it is missing)

    with serving() as hub:
        hub.add(HUB, {path.name: path.read_bytes() for path in (folder / "exported").iterdir()})
        _run(["pull", f"hf:{HUB}"], folder, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HUB_DISABLE_XET="1")


def _if_installed(name: str, write: Callable[[Path], None], folder: Path) -> None:
    try:
        write(folder)
    except ImportError as error:
        sys.stderr.write(f"warning: no seeds of {name}: {error}\n")


def _located(one: Format, folder: Path) -> Format | None:
    """Return a format with the path of its seed, or None without one."""
    found = min(folder.glob(one.file), default=None)
    if found is None:
        sys.stderr.write(f"warning: no seed for {one.name}: {one.file}\n")
        return None
    return replace(one, file=str(found.relative_to(folder)))


def _run(arguments: list[str], folder: Path, **variables: str) -> None:
    command = [sys.executable, "-m", "jitkit", *arguments]
    environ = os.environ | environment(folder) | variables
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)

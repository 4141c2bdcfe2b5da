"""The files that jitkit reads, and the commands that read each of them."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jitkit.checkpoints.shard_index import ShardIndex
from jitkit.storage.exported_folder import sums_of
from tests.nightly import mutations as damage

HUB = "ada/tiny"  # a model in the cache of the Hub


@dataclass(frozen=True)
class Format:
    """A file in the seed folder (a glob), how to damage it, and the commands that read it. One of them is run per input."""

    name: str
    file: str
    mutations: tuple[damage.Mutation, ...]
    commands: tuple[str, ...]
    container: damage.Mutation | None = None  # damages the content below correct checksums
    repair: Callable[[Path], None] | None = None  # makes other files agree with the damaged one, which it gets

    def damaged(self, rng: random.Random, content: bytes) -> bytes:
        """Return the damaged content of the file, half of the time inside of its container."""
        if self.container is not None and rng.random() < 0.5:
            return self.container(rng, content)
        return damage.mutate(rng, content, self.mutations)


def update_sha256(weights: Path) -> None:
    """Write the SHA-256 of damaged weights into the exported manifest, so that they are parsed."""
    manifest = weights.with_name("manifest.toml")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    manifest.write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{digest}"', manifest.read_text()))


def update_sums(file: Path) -> None:
    """Write SHA256SUMS of a downloaded model, so that a damaged file of it is read."""
    files = (path for path in file.parent.iterdir() if path.name != "SHA256SUMS")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    file.with_name("SHA256SUMS").write_bytes(sums_of(digests))


def update_entry(shard: Path) -> None:
    """Write size and SHA-256 of a damaged shard into the index of its checkpoint folder."""
    path, content = shard.with_name("index.json"), shard.read_bytes()
    index = json.loads(path.read_text())
    index["files"][shard.name] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(json.dumps(index))
    seal(path)


def seal(path: Path) -> None:
    """Write the SHA-256 of an index of a checkpoint folder into it, if the damaged index is still one."""
    try:
        index = ShardIndex.model_validate_json(path.read_bytes())
    except ValueError:
        return
    path.write_text(index.model_copy(update={"sha256": index.digest}).text(), errors="replace")


RESUME = "train tiny.toml --out run --resume auto --json"
COMPARE = "compare run other --json"
GENERATE = "generate {} -n 1 --steps 1 --device cpu --json"
INSPECT = "data inspect tiny.toml --data {} --json"
DOWNLOADED = (GENERATE.format(f"hf:{HUB}"),)
SHARDED = "sharded/checkpoint_step_00000006"
SHARDS = (
    GENERATE.format(SHARDED),
    "train tiny.toml --out sharded --resume auto --set parallel.checkpoint='shards' --json",
)
SAVED = ("data inspect saved.toml --json",)
ENCODINGS = ("cp1252", "utf-16", "shift_jis", "iso2022_jp", "utf-7")


def _encoded(file: str) -> tuple[str, ...]:
    """Return commands that read a text in an encoding, right or wrong, or without one guess it for a hint."""
    return (INSPECT.format(file), *(INSPECT.format(f"{file} --encoding {name}") for name in ENCODINGS))


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
    Format("picture", "album/*.png", damage.BYTES, ("decode album -m tiny.toml -o decoded.txt --json",), container=damage.inside_png),
    Format("album-index", "album/index.json", damage.TEXT, ("decode album -m tiny.toml -o decoded.txt --json",)),
    Format("gallery", "run/gallery.json", damage.TEXT, ("compare run other --out page.html",)),
    Format("text", "text.txt", damage.TEXT, ("data inspect tiny.toml --json", "encode text.txt -m tiny.toml -o pictures --json")),
    Format("jsonl", "texts/a.jsonl", damage.TEXT, (INSPECT.format("texts/a.jsonl"),)),
    Format("gzip", "texts/b.txt.gz", damage.BYTES, (INSPECT.format("texts"),), container=damage.inside_gzip),
    Format("zstd", "packed/a.txt.zst", damage.BYTES, (INSPECT.format("packed/a.txt.zst"),), container=damage.inside_zstd),
    Format("zip", "packed/a.zip", damage.BYTES, (INSPECT.format("packed/a.zip"),), container=damage.inside_zip),
    Format("tar", "packed/a.tar", damage.BYTES, (INSPECT.format("packed/a.tar"),), container=damage.inside_tar),
    Format("tar-gzip", "packed/a.tar.gz", damage.BYTES, (INSPECT.format("packed/a.tar.gz"),), container=damage.inside_tar_gzip),
    Format("tar-zstd", "packed/a.tar.zst", damage.BYTES, (INSPECT.format("packed/a.tar.zst"),), container=damage.inside_tar_zstd),
    Format("csv", "tables/a.csv", damage.TEXT, (INSPECT.format("tables/a.csv"),)),
    Format("tsv", "tables/a.tsv", damage.TEXT, (INSPECT.format("tables/a.tsv"),)),
    Format("parquet", "tables/a.parquet", damage.BYTES, (INSPECT.format("tables/a.parquet"),), container=damage.inside_parquet),
    Format("saved-rows", "saved/*.arrow", damage.BYTES, SAVED),
    Format("saved-info", "saved/dataset_info.json", damage.TEXT, SAVED),
    Format("saved-state", "saved/state.json", damage.TEXT, SAVED),
    Format("western", "encoded/western.txt", damage.TEXT, _encoded("encoded/western.txt")),
    Format("wide", "encoded/wide.txt", damage.TEXT, _encoded("encoded/wide.txt")),
    Format("japanese", "encoded/japanese.txt", damage.TEXT, _encoded("encoded/japanese.txt")),
    Format("hub-manifest", "cache/hub/*/*/manifest.toml", damage.TEXT, DOWNLOADED, repair=update_sums),
    Format("hub-sums", "cache/hub/*/*/SHA256SUMS", damage.TEXT, DOWNLOADED),
    Format("hub-revisions", "cache/hub/*/revisions.json", damage.TEXT, DOWNLOADED),
    Format("shard", f"{SHARDED}/shard-00000.safetensors", damage.BYTES, SHARDS, container=damage.inside_safetensors, repair=update_entry),
    Format("shard-rest", f"{SHARDED}/rest.safetensors", damage.BYTES, SHARDS, container=damage.inside_safetensors, repair=update_entry),
    Format("shard-index", f"{SHARDED}/index.json", damage.TEXT, SHARDS, repair=seal),
    Format("prepared-index", "cache/**/index.json", damage.TEXT, ("data inspect tiny.toml --json",)),
    Format("prepared-tokens", "cache/**/train-00000.bin", damage.BYTES, ("data inspect tiny.toml --json", "train tiny.toml --out new --json")),
)  # fmt: skip

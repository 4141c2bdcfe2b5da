"""The documented commands of each extra, where jitkit and this extra are installed and nothing else.

Without the extra, each command prints one line that names it. Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.extras import need
from tests.file_server import serving_files
from tests.hub_server import TOKEN, serving
from tests.new_environment import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of the packages that write files here

FOR_CONTRIBUTORS = {"dev", "release"}  # what runs these tests and checks releases, in a checkout
DOCUMENTS = [f"Document {number} of a small corpus. " * 5 for number in range(60)]
ROWS = [(str(number), text) for number, text in enumerate(DOCUMENTS)]
RUSSIAN = "Широкая электрификация южных губерний даст мощный толчок подъёму сельского хозяйства. " * 20
TASK = """
task: stories
dataset_path: json
dataset_kwargs: {data_files: {test: novel.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ''
doc_to_target: text
metric_list: [{metric: bits_per_byte}]
"""
INSPECT = "jitkit data inspect jit-nano"
TRAIN = "jitkit train jit-nano --out run --set train.max_steps=2 --set train.batch_size=2"
TRAIN += " --set train.validation_windows=2 --set train.compile=off"
EVAL = "jitkit eval jit-nano --data novel.txt --set eval.num_windows=2 --set sampler.steps=2"
INSPECTED, TRAINED = r"^train +\d", "^trained to step 2;"


@dataclass(frozen=True)
class Case:
    """Commands that need an extra, and what they print: `shows` is searched in stdout, `without` the extra is all of stderr."""

    commands: tuple[str, ...]
    shows: str
    makes: str = "novel.txt"  # a pattern of the name of a file
    without: str = r"jitkit: error: .*found no package .* pip install 'jitkit\[EXTRA\]'.*\n"
    code: int = 6
    packages: tuple[str, ...] = ()  # that users choose and install as well
    before: str = "true"  # a command that needs no extra


def tracked(name: str, makes: str) -> Case:
    return Case((f"""{TRAIN} --data novel.txt --set 'train.trackers=["csv", "{name}"]'""",), TRAINED, makes)


CASES = {
    "train-tok": Case(
        ("jitkit tokenizer train novel.txt --vocab-size 300 -o novel.tiktoken",), "^novel.tiktoken: 300 ids"
    ),
    "tensorboard": tracked("tensorboard", "run/tensorboard/events.*"),
    "wandb": tracked("wandb", "wandb/offline-run-*/*.wandb"),
    "trackio": tracked("trackio", ".cache/huggingface/trackio/*.db"),
    "mlflow": tracked("mlflow", "mlflow.db"),
    "gen-ppl": Case((f"{EVAL} --metric gen_ppl",), "^gen_ppl"),
    "mauve": Case((f"{EVAL} --metric mauve",), "^mauve"),
    "parquet": Case((f"{INSPECT} --data table.parquet",), INSPECTED),
    "hub": Case(
        (
            f"""{INSPECT} --set "data={{use='hub', path='$PWD/saved'}}" """,
            "jitkit push jit-nano ada/jit-nano --license mit --language en",
            "jitkit generate hf:ada/jit-nano -n 1 --steps 2",
        ),
        ".",
        makes="cache/hub/**/model.safetensors",
    ),
    "zstd": Case((f"{INSPECT} --data novel.txt.zst", f"{INSPECT} --data novel.tar.zst"), INSPECTED),
    # What jitkit requires brings charset-normalizer and fsspec today, but does not have to.
    "encodings": Case((f"{INSPECT} --data russian.txt 2>&1 | grep -v pip",), "--encoding CP1251", without="", code=0),
    "remote": Case(
        (f"{TRAIN} --set train.prepared=$URL/cache/prepared/$(ls cache/prepared | head -1)",),
        TRAINED,
        without=r"jitkit: error: http.*found no package for this URL \(.*aiohttp.*\n",
        packages=("fsspec[http]",),
        before="jitkit data prepare jit-nano --data novel.txt",
    ),
    "lm-eval": Case(
        ("jitkit lm-eval --include_path tasks --model_args path=jit-nano,seed=1,draws=1 --tasks stories --limit 8",),
        r"^\|stories\|",
    ),
}


def test_every_extra_is_tested() -> None:
    """The site is built with the extra `docs` in tests/docs/test_site.py."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras.keys() == {*CASES, "docs", *FOR_CONTRIBUTORS}


def test_what_nobody_declares_is_missing(programs_of: Callable[..., Path], tmp_path: Path) -> None:
    """Otherwise the other tests prove nothing."""
    need("pyarrow")
    python = str(programs_of("jitkit[zstd]") / "python")
    run(python, "-c", "import jitkit, torch, zstandard", cwd=tmp_path)
    assert "No module named 'pyarrow'" in run(python, "-c", "import pyarrow", cwd=tmp_path, code=1).stderr


# --- commands


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environment variables for a home in the folder, whose files a web server has, and for a Hub on this machine."""
    with serving() as hub, serving_files(tmp_path) as url:
        yield {
            "HOME": str(tmp_path),
            "HF_HOME": str(tmp_path / ".cache" / "huggingface"),
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": TOKEN,
            "JITKIT_CACHE": str(tmp_path / "cache"),
            "JITKIT_GPT2": str(tmp_path / "gpt2"),
            "PYTHONWARNINGS": "default",
            "URL": url,
            "WANDB_MODE": "offline",
        }


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs a command with the programs of an environment first on the path."""

    def shell(programs: Path, command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        return run("sh", "-c", command, cwd=tmp_path, code=code, **environment, PATH=path)

    return shell


@pytest.mark.parametrize("extra", CASES)
def test_its_commands_work_where_it_is_installed_and_elsewhere_name_it(extra, programs_of, shell, tmp_path) -> None:
    case = CASES[extra]
    write_files(extra, tmp_path)
    core, programs = programs_of("jitkit"), programs_of(f"jitkit[{extra}]", *case.packages)
    shell(core, case.before)
    for command in case.commands:
        printed = shell(core, command, case.code).stderr
        assert re.fullmatch(case.without.replace("EXTRA", extra), printed), printed
        done = shell(programs, command)
    assert re.search(case.shows, done.stdout, re.MULTILINE), done.stdout + done.stderr
    assert [*tmp_path.glob(case.makes)]


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "novel.zip", "novel.tar", "-"])
def test_jitkit_alone_reads_tables_archives_and_standard_input(name, programs_of, shell, tmp_path) -> None:
    write_files("", tmp_path)
    for table, mark in (("table.csv", ","), ("table.tsv", "\t")):
        (tmp_path / table).write_text("".join(f"{mark.join(row)}\n" for row in [("id", "text"), *ROWS]))
    for format in ("zip", "tar"):
        shutil.make_archive(str(tmp_path / "novel"), format, tmp_path, "novel.txt")
    done = shell(programs_of("jitkit"), f"cat novel.txt | {INSPECT} --data {name}")
    assert re.search(INSPECTED, done.stdout, re.MULTILINE)


def test_without_its_extra_the_script_of_the_site_names_it(programs_of, shell) -> None:
    script = ROOT / "docs" / "site" / "build.py"
    assert shell(programs_of("jitkit"), f"python {script}", 1).stderr.endswith("pip install 'jitkit[docs]'\n")


# --- files


def write_files(extra: str, folder: Path) -> None:
    """Write a text, and what else the commands of an extra read."""
    (folder / "novel.txt").write_text("\n\n".join(DOCUMENTS))
    if extra in WRITERS:
        package, write = WRITERS[extra]
        need(package)
        write(folder)


def write_dataset(folder: Path) -> None:
    from datasets import Dataset

    Dataset.from_dict({"text": DOCUMENTS}).save_to_disk(folder / "saved")


def write_parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": DOCUMENTS}), folder / "table.parquet")


def write_zstd(folder: Path) -> None:
    import zstandard

    with tarfile.open(folder / "novel.tar", "w") as archive:
        archive.add(folder / "novel.txt", "novel.txt")
    for name in ("novel.txt", "novel.tar"):
        (folder / f"{name}.zst").write_bytes(zstandard.compress((folder / name).read_bytes()))


def write_gpt2(folder: Path) -> None:
    from jitkit_plugins.metrics.gpt2 import write_tiny_gpt2

    write_tiny_gpt2(folder)


def write_russian(folder: Path) -> None:
    (folder / "russian.txt").write_text(RUSSIAN, encoding="cp1251")


def write_task(folder: Path) -> None:
    (folder / "novel.jsonl").write_text(json.dumps({"text": DOCUMENTS[0]}))
    (folder / "tasks").mkdir()
    (folder / "tasks" / "stories.yaml").write_text(TASK)


WRITERS: dict[str, tuple[str | None, Callable[[Path], None]]] = {
    "encodings": (None, write_russian),
    "gen-ppl": ("transformers", write_gpt2),
    "hub": ("datasets", write_dataset),
    "lm-eval": (None, write_task),
    "mauve": ("transformers", write_gpt2),
    "parquet": ("pyarrow", write_parquet),
    "zstd": ("zstandard", write_zstd),
}

"""`jitkit bench` prints one document, even when interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jitkit.bench.sections import HELP
from tests.core.cli.conftest import ENVIRONMENT, JITKIT, run
from tests.tiny import TINY

pytestmark = pytest.mark.slow
KEYS = {
    "ceiling": {"bf16_flops", "fp32_flops", "bandwidth"},
    "training": {"step_seconds", "tokens_per_second", "flops", "share_of_ceiling", "forward", "backward", "optimizer"},
    "sampling": {"step_seconds", "text_seconds", "share_of_ceiling"},
    "data": {"share_of_step", "tokenize_bytes_per_second"},
    "codec": {"encode_tokens_per_second", "decode_tokens_per_second"},
    "checkpoint": {"save_seconds", "verify_seconds", "load_seconds"},
    "startup": {"help_seconds"},
    "memory": {"predicted_bytes"},
}


@pytest.fixture
def command(tmp_path):
    """The command that benchmarks the tiny model on a small text."""
    (tmp_path / "tiny.toml").write_text(TINY)
    text = tmp_path / "text.txt"
    text.write_text("It was the best of times, it was the worst of times.\n" * 60)
    return ["bench", tmp_path / "tiny.toml", "--data", text, "--set", "train.batch_size=4", "--device", "cpu"]


def test_one_document_with_every_key(command, tmp_path):
    done = run(*command, "--json", JITKIT_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (document["schema"], document["id"], document["complete"]) == ("jitkit.bench/1", "tiny", True)
    assert document["provenance"]["versions"].keys() >= {"jitkit", "torch"}
    for section, keys in KEYS.items():
        assert keys <= document[section].keys()
        for name, (least, most) in document[section].get("spread", {}).items():
            assert 0 < least <= document[section][name] <= most


def test_a_selected_section_includes_the_sections_it_depends_on(command, tmp_path):
    only = {"codec": {"codec"}, "data": {"data", "training", "memory", "ceiling"}}
    for name, sections in only.items():
        done = run(*command, "--json", "--only", name, JITKIT_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
        assert KEYS.keys() & json.loads(done.stdout).keys() == sections
    assert "--only: found 'all'; expected one of startup, training, memory" in run(*command, "--only", "all").stderr


@pytest.mark.skipif(sys.platform != "linux", reason="what a program holds is read from /proc")
def test_memory_is_predicted_for_the_whole_program(command, tmp_path):
    """For a small model, nearly all memory is used by Python and torch after importing everything for training."""
    done = run(*command, "--json", "--only", "memory", JITKIT_CACHE=str(tmp_path / "cache"))
    memory = json.loads(done.stdout)["memory"]
    assert memory["predicted_bytes"] == pytest.approx(memory["peak_bytes"], rel=0.15)


def _restore_sigint() -> None:
    """Restore SIGINT, which a shell ignores for background processes such as these tests may be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_prints_the_results_so_far(command, tmp_path):
    environment = ENVIRONMENT | {"JITKIT_CACHE": str(tmp_path / "cache")}
    arguments = [JITKIT, *map(str, command), "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        arguments, stdout=pipe, stderr=pipe, text=True, env=environment, preexec_fn=_restore_sigint
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "measured memory" in line:
                break
        os.kill(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    document = json.loads(stdout)
    assert document["complete"] is False
    assert document["training"]["step_seconds"] > 0
    assert "sampling" not in document


def test_an_unknown_device_is_an_error(command):
    done = run(*command[:-1], "cuda:77")
    assert done.returncode == 6
    assert "found device 'cuda:77'" in done.stderr


def test_a_batch_that_cannot_fit(command):
    """It is refused before the benchmark starts."""
    done = run(*command, "--set", "train.batch_size=1000000000", "--json")
    assert done.returncode == 6
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert "train.batch_size: found 1,000,000,000 images, which need" in line
    assert "expected at most" in line


def test_startup_needs_no_model(command):
    """The first section is printed before the model is built, which takes long for a large one."""
    done = run(*command, "--only", "startup", "--set", "train.batch_size=1000000000")
    assert done.returncode == 0, done.stderr
    assert "startup.help_seconds" in done.stdout
    assert "preparing" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_ctrl_c_while_a_command_is_timed_prints_no_traceback(command):
    started = [JITKIT, *map(str, command), "--only", "startup"]
    process = subprocess.Popen(
        started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not any(HELP[-1] in Path(f"/proc/{child}/cmdline").read_text() for child in children.read_text().split()):
        time.sleep(0.001)
    time.sleep(0.03)  # until Python handles signals, which before that end it silently
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "KeyboardInterrupt" not in errors


def test_sections_are_printed_as_soon_as_they_are_measured(command, tmp_path):
    environment = ENVIRONMENT | {"JITKIT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [JITKIT, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    for section in KEYS:
        (started,) = [index for index, line in enumerate(lines) if line == f"jitkit: measuring {section}"]
        rows = [index for index, line in enumerate(lines) if line.startswith(f"{section}.")]
        later = [index for index, line in enumerate(lines) if line.startswith("jitkit: measuring ") and index > started]
        assert started < min(rows)
        assert max(rows) < min(later, default=len(lines))


FILL = """
import sys, torch, jitkit.cli
from jitkit import hookimpl
from jitkit.discovery.loader import create_plugin_manager

class Plugin:
    @hookimpl
    def jitkit_cli(self, app):
        app.command()(fill)

def fill():
    torch.empty(1 << 55)

jitkit.cli.create_plugin_manager = lambda: create_plugin_manager([Plugin()], autoload=False)
sys.argv = ["jitkit", "fill"]
jitkit.cli.main()
"""


def test_running_out_of_memory_is_one_line():
    """This holds for all commands."""
    done = subprocess.run([sys.executable, "-c", FILL], capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 6
    assert done.stderr.startswith("jitkit: error: found not enough memory; expected a smaller workload")
    assert len(done.stderr.splitlines()) == 1

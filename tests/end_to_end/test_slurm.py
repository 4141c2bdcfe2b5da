"""`examples/cluster/slurm.sbatch` on a real Slurm of one machine: stopped, requeued, continued, equal to an uninterrupted run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitkit.documents.document import read_document
from jitkit.documents.schemas import RunState
from jitkit.training.run_state import RUN_STATE
from tests.core.training.conftest import lab
from tests.core.training.test_parallel import newest
from tests.training_lab import RECIPE, Lab, digest, metrics

__all__ = ["lab"]  # a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("slurmctld") is None, reason="needs Slurm: apt-get install slurm-wlm"),
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="starts Slurm's daemons as root"),
]

SCRIPT = Path(__file__).parents[2] / "examples" / "cluster" / "slurm.sbatch"
# Without cgroups and munge, which containers may lack; requeued jobs start after five seconds instead of two minutes.
CONFIG = """
ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SchedulerParameters=bf_interval=2,sched_interval=2
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldPort={control}
SlurmdPort={node}
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
StateSaveLocation={home}
SlurmdSpoolDir={home}
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=64 Gres=gpu:8 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
"""
SETTINGS = ("train.accumulate=2", "train.compile=off", "train.epochs=30", "train.validate_every=10")


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running Slurm; its folder."""
    home = tmp_path_factory.mktemp("slurm")
    (home / "slurm.conf").write_text(
        CONFIG.format(host=socket.gethostname(), home=home, control=_free_port(), node=_free_port())
    )
    for number in range(8):  # Slurm does not look at what a GPU's file is
        (home / f"gpu{number}").touch()
    (home / "gres.conf").write_text(f"Name=gpu File={home}/gpu[0-7]\n")
    monkeypatch.setenv("SLURM_CONF", str(home / "slurm.conf"))
    daemons = [
        subprocess.Popen([name, "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # they write logs
        for name in ("slurmctld", "slurmd")
    ]
    try:
        _wait(lambda: "idle" in _output("sinfo", "-h", "-o", "%t"), 30)
        yield home
    finally:
        subprocess.run(["scancel", "--full", "-u", "root"], check=False, timeout=30)
        for daemon in daemons:
            daemon.terminate()
            daemon.wait(30)


def test_a_job_that_slurm_stops_is_requeued_and_equals_an_uninterrupted_run(
    slurm: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab.home / "tiny.toml").write_text(RECIPE)
    run = lab.home / "run"
    monkeypatch.setenv("RUN", str(run))
    monkeypatch.setenv("NPROC", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    overrides = [word for setting in SETTINGS for word in ("--set", setting)]
    command = ["sbatch", "--parsable", "--nodes=1", f"--chdir={lab.home}", f"--output={slurm}/job.log", str(SCRIPT)]
    job = _output(*command, "tiny.toml", "--data", "text.txt", "--device", "cpu", *overrides).strip()
    _wait(lambda: _step(run) > 5, 90)
    subprocess.run(["scancel", "--signal=TERM", job], check=True)
    _wait(lambda: _facts(job)["Restarts"] == "1", 60)
    stopped = _state(run)
    assert (stopped.state, stopped.exit_code) == ("stopped", 143), (slurm / "job.log").read_text()
    _wait(lambda: _facts(job)["JobState"] not in {"PENDING", "RUNNING", "COMPLETING"}, 120)
    assert _facts(job)["JobState"] == "COMPLETED", (slurm / "job.log").read_text()
    finished = _state(run)
    assert (finished.state, finished.launch, finished.world_size) == ("finished", job, 2)
    lab.train("whole", *SETTINGS)
    assert finished.step > stopped.step
    assert metrics(run) == metrics(lab.home / "whole")
    assert digest(newest(run)) == digest(newest(lab.home / "whole"))


def _state(run: Path) -> RunState:
    return read_document(run / RUN_STATE, RunState)


def _step(run: Path) -> int:
    return _state(run).step if (run / RUN_STATE).exists() else 0


def _facts(job: str) -> dict[str, str]:
    """Return what Slurm knows of a job."""
    words = _output("scontrol", "show", "job", job).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])

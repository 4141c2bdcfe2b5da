"""Several processes write a checkpoint folder together, any number of them loads it, and a killed one spoils nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jitkit.checkpoints.shard_index import read_shard_index
from jitkit.storage import faults
from jitkit.storage.atomic import SUFFIX
from tests.core.training.test_parallel import start, train
from tests.training_lab import Lab, digest, metrics

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SETTINGS = ("parallel.shard=2", "parallel.checkpoint=shards", "train.optimizer=muon", "schedule={use='adaptive'}")


def resave(source: Path, target: Path, num: int, shards: int) -> Path:
    """Load a checkpoint with `num` processes, and save it as the folder `target`."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*launcher, "-m", "tests.resaved", str(source), str(target), str(shards)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_any_number_of_processes_loads_what_two_have_saved(lab: Lab) -> None:
    """Acceptance rows 4 and 11. Four processes are two replicas, of which only one writes."""
    lab.train("run", "train.max_steps=6", *SETTINGS[2:])
    source = lab.home / "run" / "checkpoint_epoch_1.pth"
    two = resave(source, lab.home / "two", num=2, shards=2)
    assert digest(two) == digest(source), "one process"
    assert {*read_shard_index(two).files} == {f"shard-0000{rank}.safetensors" for rank in (0, 1)} | {"rest.safetensors"}
    for num, shards in ((3, 3), (4, 2)):
        folder = resave(two, lab.home / str(num), num, shards)
        assert digest(folder) == digest(source)
        assert len(read_shard_index(folder).files) == shards + 1
        assert read_shard_index(folder).world_size == num


def test_a_process_killed_while_it_writes_leaves_the_checkpoint_before(lab: Lab) -> None:
    """Acceptance row 9: the run is continued, and equals one that was not killed."""
    train(lab, "whole", *SETTINGS)
    whole, run = lab.home / "whole", lab.home / "run"
    process = start(lab, "run", *SETTINGS, environment={faults.VARIABLE: "shard-00001.safetensors:before-fsync:2"})
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "rank 1 killed" in output, output
    assert (run / "checkpoint_step_00000006").is_dir()
    assert not (run / "checkpoint_step_00000011").exists()
    output = train(lab, "run", *SETTINGS, words=("--resume", "auto"))
    assert "checkpoint_step_00000011: its save was interrupted" in output
    assert "from step 6 to 16" in output
    assert metrics(run) == metrics(whole)
    for name in ("checkpoint_step_00000011", "checkpoint_step_00000016", "best_model.pth"):
        assert digest(run / name) == digest(whole / name)
    assert not list(run.glob(f".*{SUFFIX}"))


def test_a_part_that_cannot_be_written_is_one_line(lab: Lab) -> None:
    process = start(
        lab, "run", *SETTINGS, environment={faults.VARIABLE: "shard-00001.safetensors:before-fsync:2:ENOSPC"}
    )
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    errors = [line for line in output.splitlines() if ": error: " in line]
    assert len(errors) == 1, output
    assert "(rank 1 of 2)" in errors[0]
    assert "shard-00001.safetensors: found no space left on device" in errors[0]
    assert "checkpoint_step_00000006; --resume auto" in errors[0]

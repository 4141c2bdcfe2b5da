"""A run whose folder is lost continues from the copies of its checkpoints at a URL; a copy without an index is not used.

`JITKIT_TEST_REMOTE` names another URL than a folder's, such as that of an S3 server.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from jitkit.checkpoints import remote
from jitkit.checkpoints.format import load_checkpoint
from jitkit.checkpoints.remote import RemoteCheckpoints
from jitkit.errors import ResourceError, Stopped, UsageError
from jitkit.storage import faults
from tests.training_lab import Lab, StopAt, digest, metrics

KEEP = "train.keep=2"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0.01,))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"{os.environ.get('JITKIT_TEST_REMOTE', tmp_path.as_uri())}/{tmp_path.name}/bucket"


def steps(url: str) -> list[int]:
    return [remote.step_of(name) for name in RemoteCheckpoints(url).complete()]


def test_the_copies_equal_the_folders_and_old_ones_are_deleted(lab: Lab, url: str, tmp_path: Path) -> None:
    lab.train("run", KEEP, f"parallel.remote={url}")
    assert steps(url) == [16, 11]
    name = RemoteCheckpoints(url).complete()[0]
    (tmp_path / "copy").mkdir()
    RemoteCheckpoints(url).download(name, tmp_path / "copy")
    assert digest(tmp_path / "copy") == digest(lab.home / "run" / "checkpoint_step_00000016")


def test_a_run_whose_folder_is_lost_continues_from_the_copies(lab: Lab, url: str) -> None:
    lab.train("whole", KEEP)
    with pytest.raises(Stopped):
        lab.train("run", KEEP, f"parallel.remote={url}", plugins=(StopAt(8),))
    shutil.rmtree(lab.home / "run")
    lab.train("run", KEEP, f"parallel.remote={url}", resume="auto")
    output = lab.output()
    assert f"downloading {url}/checkpoint_step_00000008-" in output
    assert "from step 8 to 16" in output
    assert digest(lab.home / "run" / "checkpoint_step_00000016") == digest(
        lab.home / "whole" / "checkpoint_epoch_3.pth"
    )
    assert metrics(lab.home / "run") == [row for row in metrics(lab.home / "whole") if row["step"] > 8]
    assert steps(url) == [16, 11]


@pytest.mark.parametrize("file", ["index.json", pytest.param("shard-00000.safetensors", marks=pytest.mark.slow)])
def test_a_kill_before_the_index_is_uploaded_leaves_the_step_before(lab: Lab, url: str, file: str) -> None:
    """Acceptance row 16."""
    lab.train("whole", KEEP)
    child = os.fork()
    if child == 0:
        os.environ[faults.VARIABLE] = f"upload-{file}:create:2"
        try:
            lab.train("run", KEEP, f"parallel.remote={url}")
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert steps(url) == [6]
    shutil.rmtree(lab.home / "run")
    lab.train("run", KEEP, f"parallel.remote={url}", resume="auto")
    assert "from step 6 to 16" in lab.output()
    assert digest(lab.home / "run" / "checkpoint_step_00000016") == digest(
        lab.home / "whole" / "checkpoint_epoch_3.pth"
    )
    assert steps(url) == [16, 11]


def test_a_damaged_copy_is_named_and_not_used(lab: Lab, url: str, tmp_path: Path) -> None:
    if not url.startswith("file:"):
        pytest.skip("the files of another URL cannot be damaged from here")
    lab.train("run", KEEP, f"parallel.remote={url}")
    shutil.rmtree(lab.home / "run")
    [shard] = (tmp_path / tmp_path.name / "bucket").glob("checkpoint_step_00000016-*/shard-00000.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(Exception, match=r"shard-00000\.safetensors: found content with SHA-256"):
        lab.train("run", KEEP, f"parallel.remote={url}", resume="auto")


REFUSALS: dict[str, Callable[[Path], str]] = {
    "read-only": lambda home: (home / "text.txt").as_uri(),  # a file where the folder should be
    "unknown protocol": lambda home: "nowhere://bucket/run",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_remote_that_refuses_is_one_line_and_loses_nothing(lab: Lab, name: str) -> None:
    refusing = REFUSALS[name](lab.home)
    with pytest.raises(ResourceError) as caught:
        lab.train("run", KEEP, f"parallel.remote={refusing}")
    assert caught.value.exit_code == 6
    [problem] = caught.value.problems
    assert str(problem.file).startswith(refusing)
    if name == "unknown protocol":  # found before the first step
        assert not list((lab.home / "run").glob("checkpoint*"))
        return
    kept = Path(problem.hint.partition("Kept: ")[2].partition(";")[0])
    assert load_checkpoint(kept).step >= 6
    assert lab.train("run", KEEP, resume="auto").step == 16


def test_another_run_at_the_url_is_refused_or_deleted(lab: Lab, url: str) -> None:
    lab.train("run", KEEP, f"parallel.remote={url}")
    with pytest.raises(UsageError, match=r"parallel\.remote: found a run at .*bucket; expected a URL without one"):
        lab.train("other", KEEP, f"parallel.remote={url}")
    assert steps(url) == [16, 11]
    lab.train("other", KEEP, f"parallel.remote={url}", "train.max_steps=6", overwrite=True)
    assert steps(url) == [6]

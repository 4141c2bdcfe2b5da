"""A run knows what it wrote: what is newest, kept, set aside, replaced, and deleted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jitkit.checkpoints.format import Checkpoint, load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import find_model
from jitkit.checkpoints.run_index import INDEX, add_reports, read_index
from jitkit.errors import InputError, JitkitError, ManifestError, RefusedError, Stopped, UsageError
from jitkit.training.retention import prune_checkpoints
from jitkit.training.run_folder import RunFolder
from tests.training_lab import Lab, StopAt, cases, digest, metrics, uninterrupted

SHORT = "train.max_steps=6"


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def steps(folder: Path) -> dict[str, int]:
    return {path.name: load_checkpoint(path).step for path in folder.glob("*.pth")}


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def test_the_index_lists_every_file_of_a_run(lab: Lab) -> None:
    lab.train("run", 'train.trackers=["csv", "tensorboard"]')
    index = read_index(lab.home / "run")
    assert index is not None
    assert set(index.files) == names(lab.home / "run") - {INDEX, ".lock"}
    kinds = {name: file.kind for name, file in index.files.items() if not name.startswith("tensorboard/")}
    assert kinds == {
        "manifest.toml": "manifest",
        "metrics.jsonl": "metrics",
        "run_state.json": "state",
        "metrics.csv": "tracker",
        "gallery.json": "report",
        "report.html": "report",
        "best_model.pth": "best",
        **{f"checkpoint_epoch_{epoch}.pth": "checkpoint" for epoch in (1, 2, 3)},
    }
    newest = index.files["checkpoint_epoch_3.pth"]
    assert (newest.step, newest.size) == (16, (lab.home / "run" / "checkpoint_epoch_3.pth").stat().st_size)
    assert newest.sha256


def test_going_back_sets_aside_what_is_later_and_the_run_goes_on_from_there(lab: Lab) -> None:
    run = lab.home / "run"
    lab.train("whole")
    lab.train("run")
    later = {
        name: digest(run / name) for name in ("checkpoint_epoch_2.pth", "checkpoint_epoch_3.pth", "best_model.pth")
    }
    log = metrics(run)
    lab.output()
    with pytest.raises(Stopped, match=r"checkpoint_epoch_2\.pth"):
        lab.train("run", resume=run / "checkpoint_epoch_1.pth", plugins=(StopAt(8),))
    assert lab.output().count("set aside in") == 1
    assert {name: digest(run / "set-aside-1" / name) for name in later} == later
    assert metrics(run / "set-aside-1") == log
    assert steps(run) == {"checkpoint_epoch_1.pth": 6, "checkpoint_epoch_2.pth": 8, "best_model.pth": 6}
    with pytest.raises(Stopped):
        lab.train("run", resume="auto", plugins=(StopAt(9),))
    assert "from step 8 to" in lab.output()
    assert steps(run)["checkpoint_epoch_2.pth"] == 9
    lab.train("run", resume="auto")
    assert metrics(run) == metrics(lab.home / "whole")
    assert digest(run / "best_model.pth") == digest(lab.home / "whole" / "best_model.pth")
    with pytest.raises(UsageError, match="a run in this folder"):  # it has been set aside
        lab.train("run", resume=run / "set-aside-1" / "checkpoint_epoch_3.pth")
    assert lab.train("other", resume=run / "set-aside-1" / "checkpoint_epoch_3.pth").step == 16
    lab.train("run", SHORT, overwrite=True)
    assert not (run / "set-aside-1").exists()


def test_a_checkpoint_of_another_run_does_not_replace_the_run_in_a_folder(lab: Lab) -> None:
    one, other = lab.home / "one", lab.home / "other"
    lab.train("one", SHORT)
    lab.train("other", SHORT, "train.seed=43")
    before = content(other)
    for start in (one, one / "checkpoint_epoch_1.pth"):
        with pytest.raises(UsageError, match="other: found a run in this folder"):
            lab.train("other", "train.max_steps=8", resume=start)
        assert content(other) == before
    lab.train("other", "train.max_steps=8", resume=one, overwrite=True)
    assert [line["step"] for line in metrics(other)] == [7, 8, 8]
    assert load_checkpoint(other / "checkpoint_epoch_2.pth").step == 8
    with pytest.raises(UsageError, match="of the same run"):
        lab.train("one", resume=one, overwrite=True)
    assert steps(one)["checkpoint_epoch_1.pth"] == 6


def test_the_best_model_moves_to_a_new_folder(lab: Lab) -> None:
    lab.train("run")
    best = lab.home / "run" / "best_model.pth"
    result = lab.train("moved", resume=lab.home / "run")
    assert result.model == lab.home / "moved" / "best_model.pth"
    assert digest(result.model) == digest(best)
    best.unlink()
    (lab.home / "run" / "checkpoint_epoch_3.pth").unlink()
    start = lab.home / "run" / "checkpoint_epoch_2.pth"
    save_checkpoint(start, replace(load_checkpoint(start), best_loss=0.0))  # no file has a loss that low
    result = lab.train("again", resume=start)
    assert result.model == lab.home / "again" / "checkpoint_epoch_3.pth"
    assert find_model(lab.home / "again") == result.model


@pytest.mark.parametrize("has_run", [False, True])
def test_a_users_own_files_are_never_replaced_or_deleted(lab: Lab, has_run: bool) -> None:
    run = lab.home / "run"
    if has_run:
        lab.train("run", SHORT)
    run.mkdir(exist_ok=True)
    own = {"report.json": b'{"mine": 1}', "notes/a.txt": b"a", "x.pth": b"weights", "teacher/manifest.toml": b"t"}
    for name, value in own.items():
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(value)
    lab.train("run", SHORT, overwrite=has_run)
    lab.train("run", SHORT, overwrite=True)
    assert {name: (run / name).read_bytes() for name in own} == own


@pytest.mark.parametrize("name", ["manifest.toml", "metrics.jsonl", "best_model.pth", "report.html", "metrics.csv"])
def test_a_run_is_not_started_over_a_file_of_the_user(lab: Lab, name: str) -> None:
    (lab.home / "mine").mkdir()
    (lab.home / "mine" / name).write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=rf"{name}: found a file that is not of a run") as caught:
            lab.train("mine", 'train.trackers=["csv"]', overwrite=overwrite)
        assert caught.value.exit_code == 2
        assert names(lab.home / "mine") - {".lock"} == {name}


def test_overwriting_a_student_keeps_a_teacher_that_is_a_run_of_its_own(lab: Lab) -> None:
    lab.train("exp/teacher", SHORT)
    before = content(lab.home / "exp" / "teacher")
    lab.train("exp", SHORT)
    lab.train("exp", SHORT, overwrite=True)
    assert content(lab.home / "exp" / "teacher") == before


def test_a_checkpoint_of_the_user_is_not_replaced(lab: Lab) -> None:
    run = lab.home / "run"
    lab.train("run", "train.max_steps=8")
    shutil.copy(run / "checkpoint_epoch_1.pth", run / "checkpoint_epoch_3.pth")
    before = (run / "checkpoint_epoch_3.pth").read_bytes()
    lab.train("run", resume="auto")
    assert (run / "checkpoint_epoch_3.pth").read_bytes() == before
    assert load_checkpoint(run / "checkpoint_epoch_3_step_16.pth").step == 16


def test_several_checkpoints_of_an_epoch_count_one_by_one(lab: Lab) -> None:
    run = lab.home / "run"
    lab.train("whole")
    lab.train("run", "train.checkpoint_minutes=1e-9", "train.keep=4")
    assert sorted(steps(run).values())[-5:] == [13, 14, 15, 16, 16], "with the best model"
    assert digest(run / "checkpoint_epoch_3.pth") == digest(lab.home / "whole" / "checkpoint_epoch_3.pth")
    assert metrics(run) == metrics(lab.home / "whole")


def test_the_interval_in_minutes_may_change_and_is_counted_from_the_last_checkpoint(lab: Lab) -> None:
    lab.train("run", "train.max_steps=8")
    lab.train("run", "train.max_steps=10", "train.checkpoint_minutes=60", resume="auto")
    assert set(steps(lab.home / "run").values()) == {6, 8, 10}


@pytest.mark.parametrize("keep", [-1, 0, 1])
def test_fewer_than_two_checkpoints_cannot_be_kept(lab: Lab, keep: int) -> None:
    with pytest.raises(ManifestError, match=rf"train\.keep: found {keep}"):
        lab.train("run", f"train.keep={keep}")


def test_a_damaged_checkpoint_does_not_count_as_kept(lab: Lab) -> None:
    run = lab.home / "run"
    lab.train("run", SHORT)
    lab.train("run", "train.max_steps=8", resume="auto")
    (run / "checkpoint_epoch_2.pth").write_bytes(b"damaged")
    folder = RunFolder(run)
    folder.save(replace(load_checkpoint(run / "checkpoint_epoch_1.pth"), step=9, epoch=2))
    prune_checkpoints(folder, 2, print)
    assert load_checkpoint(run / "checkpoint_epoch_1.pth").step == 6


def test_a_checkpoint_that_cannot_be_deleted_is_noted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITKIT_FAULT", "checkpoint_epoch_1.pth:delete:EIO")
    assert lab.train("run", "train.keep=2").step == 16
    assert "checkpoint_epoch_1.pth: could not delete it" in lab.output()
    index = read_index(lab.home / "run")
    assert index is not None
    assert "checkpoint_epoch_1.pth" in index.files
    monkeypatch.delenv("JITKIT_FAULT")
    lab.train("run", "train.keep=2", "train.max_steps=18", resume="auto")
    assert not (lab.home / "run" / "checkpoint_epoch_1.pth").exists()


def test_the_newest_checkpoint_is_that_of_the_latest_step(lab: Lab) -> None:
    run = lab.home / "run"
    lab.train("run")
    for name, step in (("checkpoint_epoch_3.pth", 2), ("checkpoint_epoch_1.pth", 12)):
        save_checkpoint(run / name, replace(load_checkpoint(run / name), step=step))
    folder = RunFolder(run)
    folder.refresh(print)
    assert [path.name for path in folder.checkpoints()] == [f"checkpoint_epoch_{epoch}.pth" for epoch in (1, 2, 3)]


Damage = Callable[[Path], None]


def changed(**values: object) -> Damage:
    return lambda path: save_checkpoint(path, replace(load_checkpoint(path), **values))  # type: ignore[arg-type]


def state_changed(part: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Damage:
    """Change a tensor of the weights, the averages, or the optimizer."""

    def damage(path: Path) -> None:
        checkpoint: Checkpoint = load_checkpoint(path)
        tables = {
            "model": checkpoint.model_state_dict,
            "ema": checkpoint.ema_state_dict.get("0.999"),
            **dict.fromkeys(("exp_avg", "exp_avg_sq", "step")),
        }
        state = checkpoint.optimizer_state_dict
        assert state is not None
        table, key = (tables[part], None) if tables[part] else (state[next(iter(state))], part)
        key = key or next(name for name, value in table.items() if value.is_floating_point())
        table[key] = change(table[key].clone())
        save_checkpoint(path, checkpoint)

    return damage


def poison(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor.fill_(value)


def flip_directory(path: Path) -> None:
    """Flip a bit in the archive's directory: an entry looks compressed."""
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 10] ^= 8
    path.write_bytes(data)


INVALID: dict[str, Damage] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]) and None,  # type: ignore[func-returns-value]
    "empty": lambda path: path.write_bytes(b"") and None,  # type: ignore[func-returns-value]
    "flipped directory": flip_directory,
    "unsound manifest": changed(manifest="schema_version = 1"),
    "rng": changed(rng={"cpu": torch.zeros(10, dtype=torch.uint8)}),
    "no rng": changed(rng={}),
    "no optimizer": changed(optimizer_state_dict=None),
    "nan in weights": state_changed("model", poison(float("nan"))),
    "nan in averages": state_changed("ema", poison(float("nan"))),
    "nan in exp_avg": state_changed("exp_avg", poison(float("nan"))),
    "inf in exp_avg_sq": state_changed("exp_avg_sq", poison(float("inf"))),
    "negative exp_avg_sq": state_changed("exp_avg_sq", poison(-1.0)),
    "nan in step": state_changed("step", poison(float("nan"))),
    "dtype of exp_avg": state_changed("exp_avg", lambda tensor: tensor.double()),
    "dtype of weights": state_changed("model", lambda tensor: tensor.half()),
    "shape of averages": state_changed("ema", lambda tensor: tensor[..., :1]),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 8 steps."""
    return uninterrupted(tmp_path_factory.mktemp("trained"), "train.max_steps=8")


@pytest.mark.parametrize(
    "damage", cases(INVALID, quick={"no optimizer", "nan in weights", "nan in step", "shape of averages"})
)
def test_auto_takes_the_newest_valid_checkpoint_whatever_is_wrong_with_another(
    lab: Lab, trained: Path, damage: Damage
) -> None:
    run = lab.home / "run"
    shutil.copytree(trained, run)
    damage(run / "checkpoint_epoch_2.pth")
    result = lab.train("run", "train.max_steps=8", resume="auto")
    assert result.step == 8
    output = " ".join(lab.output().split())
    assert "warning: " in output
    assert "continuing from an older one, checkpoint_epoch_1.pth (step 6)" in output
    assert digest(run / "checkpoint_epoch_2.pth") == digest(trained / "checkpoint_epoch_2.pth")
    assert (run / "set-aside-1" / "checkpoint_epoch_2.pth").is_file(), "it may still be of use"


@pytest.mark.parametrize("damage", INVALID.values(), ids=INVALID)
def test_an_invalid_checkpoint_is_one_line_and_changes_nothing(lab: Lab, trained: Path, damage: Damage) -> None:
    run = lab.home / "run"
    shutil.copytree(trained, run)
    damage(run / "checkpoint_epoch_2.pth")
    (run / "checkpoint_epoch_1.pth").unlink()
    before = content(run)
    with pytest.raises(JitkitError) as caught:
        lab.train("run", "train.max_steps=8", resume="auto")
    assert caught.value.exit_code in {3, 4, 8}
    assert {name: value for name, value in content(run).items() if name != INDEX} == {
        name: value for name, value in before.items() if name != INDEX
    }


def test_a_run_of_an_earlier_version_gets_an_index(lab: Lab, trained: Path) -> None:
    run = lab.home / "run"
    shutil.copytree(trained, run)
    (run / INDEX).unlink()
    (run / "checkpoint_epoch_2.pth").rename(run / "checkpoint_epoch_7.pth")
    (run / "report.json").write_text('{"mine": 1}')
    assert lab.train("run", "train.max_steps=9", resume="auto").step == 9
    index = read_index(run)
    assert index is not None
    assert {name: file.step for name, file in index.files.items() if file.kind == "checkpoint"} == {
        "checkpoint_epoch_1.pth": 6,
        "checkpoint_epoch_7.pth": 8,
        "checkpoint_epoch_2.pth": 9,
    }
    assert "report.json" not in index.files
    lab.train("run", SHORT, overwrite=True)
    assert {"checkpoint_epoch_7.pth", "report.json"} & names(run) == {"report.json"}


def test_reports_of_other_commands_belong_to_the_run(lab: Lab) -> None:
    lab.train("run", SHORT)
    (lab.home / "run" / "frontier.json").write_text("{}")
    add_reports(lab.home / "run", ["frontier.json"])
    add_reports(lab.home, ["text.txt"])  # no run
    lab.train("run", SHORT, overwrite=True)
    assert not (lab.home / "run" / "frontier.json").exists()
    assert not (lab.home / INDEX).exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda index: index["files"].update({"../text.txt": {"kind": "report"}}), RefusedError),
        (lambda index: index["files"].update({"/etc/passwd": {"kind": "report"}}), RefusedError),
        (lambda index: index.update(files=[]), InputError),
        (lambda index: index.update(schema="jitkit.run/2"), InputError),
    ],
)
def test_a_damaged_index_deletes_nothing(lab: Lab, trained: Path, change: Callable[[dict], None], error: type) -> None:
    run = lab.home / "run"
    shutil.copytree(trained, run)
    index = json.loads((run / INDEX).read_text())
    change(index)
    (run / INDEX).write_text(json.dumps(index))
    before = content(lab.home)
    for request in ({"overwrite": True}, {"resume": "auto"}):
        with pytest.raises(error, match=INDEX):
            lab.train("run", SHORT, **request)
    assert content(lab.home) == before


def test_a_copy_of_a_run_is_still_that_run(lab: Lab, trained: Path) -> None:
    for path in trained.iterdir():
        (lab.home / "copy").mkdir(exist_ok=True)
        if path.is_file():
            shutil.copyfile(path, lab.home / "copy" / path.name)  # without times
    assert lab.train("copy", "train.max_steps=9", resume="auto").step == 9
    index = read_index(lab.home / "copy")
    assert index is not None
    assert set(index.files) == names(lab.home / "copy") - {INDEX, ".lock"}


@pytest.mark.parametrize(
    ("line", "noted"),
    [(b'{"step": 8, "lo', True), (b"\0" * 64, True), (b"[]", True), (b'{"step": 1e3}', True), (b"", False)],
)
def test_a_last_line_that_is_not_complete_is_noted(lab: Lab, trained: Path, line: bytes, noted: bool) -> None:
    run = lab.home / "run"
    shutil.copytree(trained, run)
    with (run / "metrics.jsonl").open("ab") as log:
        log.write(line)
    lab.train("run", "train.max_steps=9", resume="auto")
    assert ("the last line is not complete" in lab.output()) == noted
    assert [line["step"] for line in metrics(run) if "loss" in line] == list(range(1, 10))


@pytest.mark.parametrize("line", [b'{"step": 3, "lo', b"\xff\xfe", b"{}"])
def test_damage_inside_the_log_is_an_error_with_its_line(lab: Lab, trained: Path, line: bytes) -> None:
    run = lab.home / "run"
    shutil.copytree(trained, run)
    lines = (run / "metrics.jsonl").read_bytes().split(b"\n")
    lines[2] = line
    (run / "metrics.jsonl").write_bytes(b"\n".join(lines))
    before = content(run)
    with pytest.raises(InputError, match=r"metrics\.jsonl:3: found a damaged line") as caught:
        lab.train("run", "train.max_steps=9", resume="auto")
    assert caught.value.exit_code == 4
    assert content(run) == before


def test_lines_that_a_log_lacks_are_noted(lab: Lab, trained: Path) -> None:
    run = lab.home / "run"
    shutil.copytree(trained, run)
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join(lines[:4]))
    lab.train("run", "train.max_steps=9", resume="auto")
    assert "the log ends at step 4; the lines up to step 8 were lost" in lab.output()


def test_the_csv_table_equals_the_log_after_stops_and_a_deleted_run(lab: Lab) -> None:
    trackers = 'train.trackers=["csv"]'
    lab.train("whole", trackers)
    with pytest.raises(Stopped):
        lab.train("run", trackers, plugins=(StopAt(8),))
    table = lab.home / "run" / "metrics.csv"
    with table.open("a") as file:  # of steps after the checkpoint, as after a kill
        file.write("9,loss,1.0\r\n")
    lab.train("run", trackers, resume="auto")

    def rows(folder: str) -> list[str]:
        lines = (lab.home / folder / "metrics.csv").read_text().splitlines()
        return [line for line in lines if ",seconds," not in line and ",tokens_per_second," not in line]

    assert rows("run") == rows("whole")
    lab.train("run", trackers, SHORT, overwrite=True)
    assert [row.split(",")[0] for row in rows("run") if ",loss," in row] == list("123456")

"""What a package index gets: a wheel and an sdist that checkers accept, and that work after an installation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import yaml

import jitkit
from tests.extras import need
from tests.linked_environment import link
from tests.new_environment import build, empty_environment, install, run, site_packages

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packages(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel and the sdist."""
    return [wheel, build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))]


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which only the wheel is installed, and what it requires."""
    programs = empty_environment(tmp_path_factory.mktemp("environment"))
    install(programs, wheel)
    link(programs, "jitkit", site_packages(programs))
    return programs


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def test_checkers_accept_both_packages(packages: list[Path]) -> None:
    for package in ("twine", "check_wheel_contents"):
        need(package)
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, packages))
    run(sys.executable, "-m", "check_wheel_contents", str(packages[0]), cwd=ROOT)


def test_a_checker_refuses_a_package_that_is_not_complete(packages: list[Path], tmp_path: Path) -> None:
    need("twine")
    broken = tmp_path / packages[0].name
    with zipfile.ZipFile(packages[0]) as whole, zipfile.ZipFile(broken, "w") as archive:
        for name in whole.namelist():
            if name.endswith(".dist-info/METADATA"):
                archive.writestr(
                    name, re.sub(rb"Description-Content-Type.*", b"", whole.read(name).partition(b"\n\n")[0])
                )
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(broken)], check=False)
    assert done.returncode


def test_there_is_one_version(packages: list[Path], programs: Path, tmp_path: Path) -> None:
    version = jitkit.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / "CHANGELOG.md").read_text()
    number, date = re.findall(r"^## \[(\d.*?)\] - (\S+)$", changelog, re.MULTILINE)[0]
    assert {citation["version"], number} == {version}
    assert str(citation["date-released"]) == date
    assert metadata(packages[0])["Version"] == version
    assert [path.name for path in packages] == [f"jitkit-{version}-py3-none-any.whl", f"jitkit-{version}.tar.gz"]
    assert run(str(programs / "jitkit"), "--version", cwd=tmp_path).stdout == f"jitkit {version}\n"
    installed = "import jitkit; from importlib.metadata import version; print(jitkit.__version__, version('jitkit'))"
    assert run(str(programs / "python"), "-c", installed, cwd=tmp_path).stdout.split() == [version, version]


def test_metadata_leave_the_choice_of_an_index_to_the_user(packages: list[Path]) -> None:
    required = metadata(packages[0]).get_all("Requires-Dist", [])
    assert any(line.startswith("torch>=") for line in required)
    assert not [line for line in required if "@" in line or "://" in line]


def test_the_sdist_makes_the_same_wheel(packages: list[Path], tmp_path: Path) -> None:
    with tarfile.open(packages[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = build(source, "wheel", tmp_path / "again")
    contents = []
    for wheel in (packages[0], again):
        with zipfile.ZipFile(wheel) as archive:
            contents.append({info.filename: info.CRC for info in archive.infolist()})
    assert contents[0] == contents[1]


def test_an_installed_wheel_generates_and_trains(programs: Path, tmp_path: Path) -> None:
    """By the commands that users try first, in an empty folder."""
    command = str(programs / "jitkit")
    place = run(str(programs / "python"), "-c", "import jitkit; print(jitkit.__file__)", cwd=tmp_path).stdout
    assert Path(place).is_relative_to(programs.parent)
    assert run(command, "generate", "jit-nano", cwd=tmp_path).stdout.strip()
    cache = {"JITKIT_CACHE": str(tmp_path / "cache")}
    trained = run(command, "train", "jit-nano", "--set", "train.max_steps=4", cwd=tmp_path, **cache)
    assert "trained to step 4" in trained.stdout
    assert (tmp_path / "run" / "jit-nano" / "best_model.pth").exists()


def test_an_installed_wheel_creates_a_plugin_that_conforms(programs: Path, tmp_path: Path) -> None:
    command = str(programs / "jitkit")
    run(command, "plugins", "new", "codec", "mine", cwd=tmp_path)
    install(programs, build(tmp_path / "jitkit-mine", "wheel", tmp_path / "wheel"))
    checked = json.loads(run(command, "plugins", "check", "mine", "--json", cwd=tmp_path).stdout)["laws"]
    assert {law["component"] for law in checked} == {"mine"}
    assert not [law for law in checked if law["broken"]]

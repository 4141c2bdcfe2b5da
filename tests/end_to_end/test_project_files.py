"""Files that the hosting service, citation tools, and container builders read: checked by the field's own checkers.

The checkers are in the extra `release`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.extras import missing, need
from tests.new_environment import new_environment, run

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCHEMAS = {
    "citation-file-format": ["CITATION.cff"],
    "dependabot": [".github/dependabot.yml"],
    "github-issue-config": [".github/ISSUE_TEMPLATE/config.yml"],
    "github-issue-forms": [f".github/ISSUE_TEMPLATE/{name}.yml" for name in ("bug", "feature", "plugin", "result")],
    "github-workflows": [f".github/workflows/{path.name}" for path in WORKFLOWS],
}


def need_program(name: str) -> str:
    """Return the path of a program; skip the test without it. With CI=true a missing program is an error."""
    own = Path(sys.executable).parent
    path = shutil.which(name, path=f"{own}{os.pathsep}{os.environ['PATH']}")
    return path or missing(f"the program {name} of the extra release")


def refused(*command: str) -> bool:
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode != 0


# --- schemas


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_follow_the_schema_of_their_readers(schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("check_jsonschema")
    from check_jsonschema import main

    def code(*files: str) -> int:
        return main(["--quiet", "--builtin-schema", f"vendor.{schema}", *files], standalone_mode=False)

    monkeypatch.chdir(ROOT)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("version: [1]\n")
    assert code(*SCHEMAS[schema]) == 0
    assert code(str(wrong)) == 1


def test_every_form_is_checked() -> None:
    forms = {str(path.relative_to(ROOT)) for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")}
    assert forms == {name for names in SCHEMAS.values() for name in names if "ISSUE_TEMPLATE" in name}


@pytest.mark.parametrize("form", ["bug", "plugin"])
def test_a_report_needs_the_version(form: str) -> None:
    fields = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml").read_text())["body"]
    asking = [field for field in fields if "`jitkit --version`" in field["attributes"].get("description", "")]
    assert [field["validations"]["required"] for field in asking] == [True]


# --- workflows


@pytest.mark.slow
def test_actionlint_accepts_the_workflows(tmp_path: Path) -> None:
    actionlint = need_program("actionlint")
    run(actionlint, *map(str, WORKFLOWS), cwd=ROOT)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("${{ github.", "${{ gihtub."))
    assert refused(actionlint, str(wrong))


@pytest.mark.slow
def test_a_security_checker_accepts_the_workflows(tmp_path: Path) -> None:
    zizmor = need_program("zizmor")
    run(zizmor, "--offline", "--quiet", "--min-severity=medium", *map(str, WORKFLOWS), cwd=ROOT)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(re.sub(r"@[0-9a-f]{40} # (v\d+).*", r"@\1", WORKFLOWS[0].read_text()))
    assert refused(zizmor, "--offline", "--quiet", "--min-severity=medium", str(wrong))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(path: Path) -> None:
    actions = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert actions
    for action, comment in actions:
        assert action.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert action.startswith("./") or re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_do_no_more_than_they_need(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    assert "secrets." not in path.read_text()
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name
        writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert writes <= {"build": {"id-token", "attestations"}, "publish": {"id-token", "pages"}}.get(name, set())


def test_tests_run_on_every_python_that_the_package_claims() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    claimed = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert jobs["quick"]["strategy"]["matrix"]["python"] == claimed
    assert {system.partition("-")[0] for system in jobs["quick"]["strategy"]["matrix"]["system"]} == {"ubuntu", "macos"}


# --- the container


@pytest.mark.slow
def test_hadolint_accepts_the_dockerfile(tmp_path: Path) -> None:
    hadolint = need_program("hadolint")
    run(hadolint, str(ROOT / "Dockerfile"))
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((ROOT / "Dockerfile").read_text().replace("--no-cache-dir ", ""))
    assert refused(hadolint, str(wrong))


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments, without comments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in text.splitlines() if line]


def test_the_container_has_no_privileges_and_only_what_it_needs() -> None:
    assert dict(instructions())["USER"] == "1000"
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for word, rest in instructions() if word == "COPY" for name in rest.split()[:-1]}
    assert allowed == copied | {"constraints.txt"}
    assert all((ROOT / name).exists() for name in allowed)


@pytest.mark.slow
def test_the_commands_of_the_dockerfile_install_jitkit(tmp_path: Path) -> None:
    """In a folder with the files that it copies; without downloads and root, which a container has."""
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    for names in (rest.split()[:-1] for word, rest in instructions() if word == "COPY"):
        for name in names:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
    build, install = (rest for word, rest in instructions() if word == "RUN")
    shell = build.replace("pip ", f"{sys.executable} -m pip ", 1).replace("/wheels", str(wheels))
    run("sh", "-c", f"{shell} --no-build-isolation", cwd=source, PYTHONWARNINGS="default")

    (found,) = re.findall(r'"(\$\(echo \S+\)\S+)"', install)
    evaluated = run("sh", "-c", f'echo "{found.replace("/wheels", str(wheels))}"', EXTRAS="hub").stdout.strip()
    wheel = Path(evaluated.removesuffix("[hub]"))
    assert wheel.suffix == ".whl"
    assert evaluated.endswith("[hub]")
    with zipfile.ZipFile(wheel) as archive:
        assert any(name.startswith("jitkit/_zoo/weights/") for name in archive.namelist())
    programs = new_environment(tmp_path / "environment", wheel)
    words = words_of(dict(instructions())["ENTRYPOINT"]) + words_of(dict(instructions())["CMD"])
    assert "Usage: jitkit" in run(str(programs / words[0]), *words[1:], cwd=tmp_path).stdout


def words_of(text: str) -> list[str]:
    """Return a list of words that a Dockerfile writes as JSON."""
    return yaml.safe_load(text)

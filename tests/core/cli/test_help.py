"""Help and usage errors, which need no more than the text they print."""

from __future__ import annotations

import json
import re
from importlib import import_module
from inspect import getdoc

import pytest

from jitkit.cli.commands import COMMANDS
from jitkit.cli.lazy import Member, built
from tests.core.cli.conftest import run, run_on_a_terminal, run_without_torch


def members(commands=COMMANDS):
    """Yield every command, also those in groups."""
    for name, member in commands.items():
        if member.members:
            yield from ((f"{name} {path}", one) for path, one in members(member.members))
        else:
            yield name, member


@pytest.mark.parametrize(("path", "member"), list(members()))
def test_the_summary_of_a_command_is_the_first_line_of_its_own_help(path: str, member: Member) -> None:
    module, _, function = member.home.partition(":")
    text = getdoc(getattr(import_module(module), function)) or ""
    assert " ".join(text.partition("\n\n")[0].split()) == member.summary, path
    assert f"Example: jitkit {path}" in text or path == "zoo schema"


@pytest.mark.parametrize(("path", "member"), list(members()))
def test_all_commands_follow_one_convention(path: str, member: Member) -> None:
    for parameter in built(path.split()[-1], member).params:
        is_option = parameter.param_type_name == "option"
        if not (is_option and parameter.is_flag):
            assert parameter.metavar, f"{path}: {parameter.name} has no placeholder"
        if is_option and {"-o", "--out", "--output"} & set(parameter.opts):
            assert {"-o", "--out", "--output"} == set(parameter.opts), path
        if is_option and parameter.is_flag:
            assert not parameter.secondary_opts, f"{path}: {parameter.name} has a --no- form"


@pytest.mark.parametrize(("path", "member"), list(members()))
def test_every_command_that_reads_a_text_takes_its_encoding(path: str, member: Member) -> None:
    options = {name for parameter in built(path.split()[-1], member).params for name in parameter.opts}
    assert "--encoding" in options or "--data" not in options, path


@pytest.mark.parametrize("columns", [20, 40, 100])
def test_help_fits_the_terminal(columns: int) -> None:
    for arguments in (["--help"], ["train", "-h"], ["codec", "inspect", "-h"]):
        done = run(*arguments, COLUMNS=str(columns))
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: jitkit")
        assert "\x1b" not in done.stdout
        if columns > 20:  # below that, the longest word decides
            assert max(map(len, done.stdout.splitlines())) <= columns


def test_help_has_colors_on_a_terminal_only() -> None:
    assert "\x1b[1mUsage:\x1b[0m" in run_on_a_terminal("--help")[1]
    assert "\x1b" not in run("--help").stdout


def test_no_command_at_all_prints_the_help() -> None:
    for group in ([], ["codec"]):
        done = run(*group)
        assert done.returncode == 2
        assert done.stdout == run(*group, "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["traim", "jit-nano"], "command of jitkit: found 'traim'. Did you mean train?"),
        (["zoo", "jit-nano"], "command of jitkit zoo: found 'jit-nano'; expected one of list, show, check, schema"),
        (["export"], "MODEL: found nothing; expected a checkpoint (.pth)"),
        (["generate", "jit-nano", "-n", "0"], "--num: found '0'; expected an integer >= 1"),
        (["generate", "jit-nano", "--seed", "x"], "--seed: found 'x'; expected an integer >= 0 and <= "),
        (["generate", "jit-nano", "--stepz", "3"], "--stepz: found an unknown option; expected an option of jitkit generate. Did you mean --steps?"),
        (["generate", "jit-nano", "--steps"], "--steps: found no value; expected a number"),
        (["generate", "jit-nano", "--image"], "--image: found no value; expected a folder. See jitkit generate --help."),
        (["train", "jit-nano", "--resume"], "--resume: found no value; expected a path or auto"),
        (["train", "jit-nano", "--set"], "--set: found no value; expected KEY=VALUE"),
        (["generate", "jit-nano", "more"], "found an unexpected argument 'more'; expected jitkit generate [OPTIONS]"),
        (["train", "jit-nano", "--lr", "3"], "--lr: found an unknown option; expected an option of jitkit train. Did you mean `--set train.lr=`?"),
        (["train", "jit-nano", "--depth", "3"], "--depth: found an unknown option; expected an option of jitkit train. Did you mean `--set backbone.depth=`?"),
        (["generate", "jit-nano", "--top-p", "1"], "--top-p: found an unknown option; expected an option of jitkit generate. Did you mean `--set objective.top_p=`?"),
        (["generate", "jit-nano", "--set", "gamma=1"], "--set: found 'gamma'; expected a key of schedule, objective, sampler, guidance, train.precision, train.compile, such as sampler.gamma. Did you mean `--set sampler.gamma=`?"),
        (["train", "jit-nano", "--epochs=3"], "--epochs: found an unknown option; expected an option of jitkit train. Did you mean `--set train.epochs=`?"),
        (["train", "jit-nano", "--max-iters=3"], "--max-iters: found an unknown option; expected an option of jitkit train. Did you mean `--set train.max_steps=`?"),
        (["generate", "jit-nano", "--lr", "3"], "--lr: found an unknown option; expected an option of jitkit generate. See"),
        (["codec", "fit", "jit-nano", "--order", "x", "-o", "y"], "--order: found 'x'; expected one of 'semantic', 'frequency'"),
        (["evaluate", "jit-nano"], "command of jitkit: found 'evaluate'. Did you mean eval?"),
        (["train", "novel.txt"], "MANIFEST: found a text, 'novel.txt'; expected a zoo id or a manifest (.toml). The text follows --data: jitkit train jit-nano --data novel.txt"),
        (["data", "prepare", "my novel.txt"], "MANIFEST: found a text, 'my novel.txt'; expected a zoo id or a manifest (.toml). The text follows --data: jitkit train jit-nano --data 'my novel.txt'"),
        (["generate"], "MODEL: found no model; expected one: a checkpoint, a run folder, an exported folder, a zoo id, or hf:owner/name. Train one with `jitkit train jit-nano`"),
        (["generate", "jit-nano", "--temperature", "0.5"], "--temperature: found an unknown option; expected an option of jitkit generate. Did you mean `--set objective.temperature=`?"),
        (["generate", "jit-nano", "--sampler", "ode"], "--sampler: found an unknown option; expected an option of jitkit generate. Did you mean `--set sampler.use=`?"),
        (["generate", "jit-nano", "--length", "9"], "--length: found an unknown option; expected an option of jitkit generate. See"),
        (["--verbose"], "--verbose: found an unknown option; expected an option of jitkit"),
        (["--seed", "3", "generate", "jit-nano"], "--seed: found an unknown option; expected an option of jitkit. Options of a command follow its name. See jitkit --help."),
    ],
)  # fmt: skip
def test_usage_errors_are_one_line(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.startswith(f"jitkit: error: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "jit-nano", "--data="],
        ["train", "jit-nano", "--data", ""],
        ["train", "jit-nano", "--resume", ""],
        ["train", "jit-nano", "--out="],
        ["train", ""],
        ["generate", ""],
        ["generate", "--checkpoint="],
        ["tokenizer", "train", "", "--vocab-size", "300", "-o", "x"],
        ["decode", "x", "-o", ""],
    ],
)
def test_an_empty_value_is_no_path(arguments: list[str]) -> None:
    """`Path("")` is the working folder: all its text would be read, or its files replaced."""
    done = run(*arguments)
    assert done.returncode == 2
    assert re.search(
        r": found an empty value; expected a (path|path or auto|file|folder|manifest|model)\. See jitkit", done.stderr
    )
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ("generate jit-nano -n 0 --json", "--num"),
        ("zoo list --json --bogus", "--bogus"),
        ("nonsense --json", "command of jitkit"),
        ("generate jit-nano --json --steps", "--steps"),
    ],
)
def test_usage_errors_are_json_too(arguments: str, field: str) -> None:
    done = run(*arguments.split())
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert (error["field"], error["code"]) == (field, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate"],
        ["generate", "jit-nano", "--checkpoint", "jit-nano"],
        ["generate", "jit-nano", "--prompt", "a", "--infill", "b"],
        ["generate", "jit-nano", "--gif"],
        ["generate", "jit-nano", "--watch"],
        ["generate", "jit-nano", "--set", "train.lr=3"],
        ["eval"],
        ["eval", "jit-nano", "--set", "backbone.depth=3"],
        ["frontier", "jit-nano", "--sweep", "sampler.steps"],
        ["compare", "run/a"],
        ["train", "jit-nano", "--resume", "auto", "--overwrite"],
        ["encode", "novel.txt", "-o", "album"],
        ["encode", "novel.txt", "-m", "x.pth", "--set", "codec.numbers=3", "-o", "album"],
        ["decode", "album", "-o", "novel.txt"],
        ["codec", "fit", "jit-nano", "--order", "x", "-o", "y.png"],
        ["codec", "inspect", *"abcdefg", "--image", "x.png"],
        ["bench", "--only", "x"],
        ["plan", "jit-nano", "--on", "8xh20"],
        ["plan", "jit-nano", "--on", "h200", "--price", "nan"],
    ],
    ids=" ".join,
)
def test_usage_errors_come_before_torch(arguments: list[str]) -> None:
    done = run_without_torch(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("jitkit: error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr

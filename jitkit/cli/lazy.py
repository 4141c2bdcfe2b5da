"""Commands that are imported only when they run, so that `jitkit --help` costs no more than its text."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

import typer
from typer.core import TyperCommand, TyperGroup

from jitkit.cli.help import Row, command_help, usage
from jitkit.cli.usage import require_values
from jitkit.errors import ResourceError, UsageError, did_you_mean, shown

SYNONYMS = {"evaluate": "eval", "test": "eval", "sample": "generate", "benchmark": "bench", "finetune": "train"}


class _Help:
    """The help option of commands and groups. Typer would import pydantic to convert its default."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the help option."""
        option = super().get_help_option(ctx)  # type: ignore[misc]
        option.default = False
        return option


class Command(_Help, TyperCommand):
    """A command whose help has panels."""

    allow_extra_args = True  # they are reported here, in our own words

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. Raises UsageError if there are too many, or an empty one."""
        if not ctx.resilient_parsing:
            require_values(self, ctx, args)
        extra = super().parse_args(ctx, args)
        if extra and not ctx.resilient_parsing:
            found, hint = f"an unexpected argument {shown(extra[0])}", f"See {ctx.command_path} --help."
            raise UsageError(found, usage(self, ctx), hint=f"Put text with spaces in quotes. {hint}")
        return extra

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Warnings of jitkit become notes, and a broken pipe becomes ResourceError."""
        from jitkit.cli.console import print_warnings_as_notes

        print_warnings_as_notes()
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # typer would exit with 1, without a word
            raise ResourceError("a pipe whose reader has left", "one that is read to the end") from error

    def get_help(self, ctx: Any) -> str:
        """Return the help."""
        return command_help(self, ctx, {})


class Member(NamedTuple):
    """A command of a group, or a group of commands, before it is imported."""

    home: str  # "module:function"; of a group: ""
    summary: str  # the first line of its help
    panel: str = "Commands"
    members: Mapping[str, Member] = {}
    foreign_options: bool = False  # whether its arguments may be options of another program


class Group(_Help, TyperGroup):
    """A group of commands. `commands` holds those that exist already (of plugins), `members` those to be imported."""

    members: Mapping[str, Member] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(dict.fromkeys([*self.members, *self.commands]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name, imported if necessary, or None."""
        if cmd_name not in self.commands and cmd_name in self.members:
            self.commands[cmd_name] = built(cmd_name, self.members[cmd_name])
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the command, and its arguments. Raises UsageError, suggesting the closest name."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            meant = SYNONYMS.get(args[0])
            hint = f"Did you mean {meant}?" if meant in names else did_you_mean(args[0], names)
            expected = "" if hint else f"one of {', '.join(names)}"  # the list would hide the hint
            raise UsageError(shown(args[0]), expected, field=f"command of {ctx.command_path}", hint=hint)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the command. Without any argument, print the help and exit with 2."""
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            ctx.exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """Return the help, without importing any command."""
        panels: dict[str, list[Row]] = {}
        for name, member in self.members.items():
            panels.setdefault(member.panel, []).append(Row(name, member.summary))
        added = [(name, command) for name, command in self.commands.items() if name not in self.members]
        panels["Plugins"] = [Row(name, command.get_short_help_str(200)) for name, command in added]
        return command_help(self, ctx, panels)


def built(name: str, member: Member) -> TyperCommand | TyperGroup:
    """Return the command or group of a member. Imports the module of a command, but none of a group."""
    if member.members:
        group = Group(name=name, help=member.summary, rich_markup_mode=None)
        group.members = member.members
        return group
    module, _, function = member.home.partition(":")
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = {"ignore_unknown_options": member.foreign_options}
    app.command(name, cls=Command, context_settings=settings)(getattr(import_module(module), function))
    return cast(TyperCommand, typer.main.get_command(app))

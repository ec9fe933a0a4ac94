"""A group of commands that imports a command only when it is run."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click

from convsmith.errors import did_you_mean

__all__ = ["Entry", "LazyGroup"]


@dataclass(frozen=True)
class Entry:
    """Where a command is, and its line in the list of commands."""

    target: str  # "package.module:object"
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.target.partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


class LazyGroup(click.Group):
    """A click group whose commands are named in a table; ``--help`` reads only the table."""

    def __init__(self, *, entries: Mapping[str, Entry], name: str, help: str) -> None:
        super().__init__(name=name, help=help, no_args_is_help=False)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None."""
        entry = self.entries.get(cmd_name)
        return None if entry is None else entry.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was typed; an unknown one gets the nearest name."""
        name = args[0]
        if name not in self.entries and not name.startswith("-"):
            meant = did_you_mean(name, self.entries)
            raise click.UsageError(f"no command is called {name!r}{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

"""``convsmith serve``: the runtime's command, which needs no torch."""

from convsmith_runtime.http.command import command

__all__ = ["command"]

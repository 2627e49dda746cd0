"""The command line, `roomcast`. Exit codes: 0 done, 1 failed, 2 used wrongly."""

import importlib
import sys

import rich_click as click

from service.command_line.options import as_sentence

_COMMANDS = {  # loaded when asked for: `serve` and `listen` don't wait for SQLAlchemy
    "serve": "service.command_line.serve:serve",
    "tenant": "service.command_line.tenant:tenant",
    "key": "service.command_line.key:key",
    "signing-key": "service.command_line.signing_key:signing_key",
    "room-type": "service.command_line.room_type:room_type",
    "contract": "service.command_line.contract:contract",
    "generate": "service.command_line.generate:generate",
    "audit": "service.command_line.audit:audit",
    "token": "service.command_line.token:token",
    "listen": "service.command_line.conversation:listen",
    "publish": "service.command_line.conversation:publish",
    "db": "service.command_line.database:database",
}


class _Commands(click.RichGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="roomcast")
def roomcast() -> None:
    """Roomcast: rooms of messages for your app's clients, over WebSocket, from your own server."""


def main() -> None:
    """Run the command of this process' arguments, and exit. An error is one plain line, in a terminal or a pipe."""
    try:
        sys.exit(roomcast(prog_name="roomcast", standalone_mode=False))
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "roomcast"
        click.echo(f"Error: {as_sentence(error.format_message())} See `{path} --help`.", err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"Error: {as_sentence(error.format_message())}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt, BrokenPipeError):
        sys.stdout = None  # what a closed pipe did not take is not written at exit either
        sys.exit(1)


if __name__ == "__main__":
    main()

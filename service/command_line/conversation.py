"""`roomcast listen` and `roomcast publish`."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import rich_click as click

from service.command_line.client import ClientError, Conversation
from service.command_line.client import publish as publish_once
from service.command_line.options import failures, option

F = TypeVar("F", bound=Callable[..., Any])


def _connection_options(command: F) -> F:
    command = option(
        "--token",
        required=True,
        envvar="ROOMCAST_TOKEN",
        help="The user's token, as `roomcast token` prints it.",
    )(command)
    return option(
        "--url",
        default="ws://127.0.0.1:8000/v1/connect",
        show_default=True,
        envvar="ROOMCAST_URL",
        help="The server; the path may be left out.",
    )(command)


@click.command()
@click.argument("rooms", metavar="ROOM...", nargs=-1)
@_connection_options
def listen(rooms: Sequence[str], url: str, token: str) -> None:
    """Join each ROOM and print every event as one line of JSON, until Ctrl-C.

    Comes back by itself when the connection is lost, and misses nothing that the rooms' history still has.
    """
    with failures(ClientError):
        try:
            for line, _ in Conversation(url, token, rooms).events():
                click.echo(line)
                sys.stdout.flush()
        except KeyboardInterrupt:
            return


@click.command()
@click.argument("room")
@click.argument("data")
@option("--name", envvar="ROOMCAST_NAME", help="The message's name.")
@_connection_options
def publish(room: str, data: str, name: str | None, url: str, token: str) -> None:
    """Publish DATA, which is JSON, to ROOM and print the reply."""
    try:
        msgspec.json.decode(data)
    except msgspec.MsgspecError as error:
        raise click.BadParameter(
            f"""it is no JSON ({error}); a text needs quotes within quotes, as '"hello"'.""", param_hint="DATA"
        ) from None
    with failures(ClientError):
        click.echo(publish_once(url, token, room, msgspec.Raw(data.encode()), name))

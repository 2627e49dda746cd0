"""`roomcast serve`."""

import asyncio
import shlex
import sys

import rich_click as click

from service.command_line.options import failures, option, setting_options, settings_of
from service.orders import Demo
from service.settings import Settings
from service.supervisor import StartError, Supervisor
from service.telemetry import configure_logging


@click.command()
@option("--demo", is_flag=True, envvar="ROOMCAST_DEMO", help="Make a tenant `demo` the first time; show how to talk.")
@setting_options()
def serve(demo: bool, **texts: str | None) -> None:
    """Serve until Ctrl-C: the nodes, and an embedded Valkey unless --redis-url names a Redis."""
    settings = settings_of(texts)
    configure_logging(settings.log_format)
    with failures(StartError):
        asyncio.run(Supervisor(settings, demo=demo).run(lambda address, told: announce(settings, address, told)))
    click.echo("Roomcast has ended.")


def announce(settings: Settings, address: str, demo: Demo | None) -> None:
    """Print that it is ready, and with a demo tenant how to talk to it: below 20 lines."""
    nodes = "1 node" if settings.workers == 1 else f"{settings.workers} nodes"
    broker = "your Redis" if settings.redis_url else "an embedded Valkey"
    click.echo(
        f"Roomcast is ready on {address} with {nodes} and {broker}; data in {settings.data_dir}. Ctrl-C ends it."
    )
    where = "ROOMCAST_OPERATOR_TOKEN" if settings.operator_token else settings.operator_token_file
    click.echo(f"The operator's token, for {address}/v1/tenants, is in {where}.")
    if demo is not None:
        command = shlex.quote(sys.argv[0]) if sys.argv[0].endswith("roomcast") else f"{sys.executable} -m service"
        url = f"{address.replace('http', 'ws', 1)}/v1/connect"
        click.echo(f"""
Tenant demo; its keys are in {demo.keys_file}.
  API key, for your server:     {demo.api_key}
  Token of {demo.user}, for a client (24 hours):
  {demo.token}

Paste this into a second terminal to join the room `chat` and print what arrives:
  {command} listen chat --url {url} --token {demo.token}

And this into a third to say something there:
  curl -X POST {address}/v1/rooms/chat/messages -H 'Authorization: Bearer {demo.api_key}' \\
    -H 'Content-Type: application/json' -d '{{"data": "hello"}}'
""")

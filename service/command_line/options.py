"""Options that are settings, and errors that are one sentence with the remedy."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import rich_click as click

from service.protocol.errors import Invalid
from service.protocol.instants import read_instant
from service.settings import Settings, SettingsError, flag_name, read_settings, serve_flags, variable_name

F = TypeVar("F", bound=Callable[..., Any])

option = functools.partial(click.option, show_envvar=True)


def setting_options(*names: str) -> Callable[[F], F]:
    """A decorator that gives a command one option for each of these settings; none named: for all that are flags.

    Their texts come to the command as keyword arguments, for `settings_of`.
    """

    def decorate(command: F) -> F:
        for name, (default, description) in reversed(serve_flags().items()):
            if not names or name in names:
                command = option(
                    flag_name(name),
                    metavar="N|none"
                    if default.isdecimal() and "none" in description
                    else name.rpartition("_")[2].upper(),
                    envvar=variable_name(name),
                    help=description.replace("`", "")
                    + (f" [default: {default}]" if default not in ("", "none") else ""),
                )(command)
        return command

    return decorate


def settings_of(texts: dict[str, str | None]) -> Settings:
    """The settings of the environment with these options' texts over them. Wrong ones end the command with code 2."""
    given = {variable_name(name): text for name, text in texts.items() if text is not None}
    try:
        return read_settings({**os.environ, **given})
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def stored(command: F) -> F:
    """A decorator for a command of the database: `--json` as `as_json`, and where the database is, for `ask`."""
    command = setting_options("data_dir", "database_url")(command)
    return option("--json", "as_json", is_flag=True, envvar="ROOMCAST_JSON", help="Print JSON.")(command)


class Instant(click.ParamType[int]):
    """An instant as RFC 3339 writes it, in Unix milliseconds."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Fails, as wrong use, for any other text."""
        try:
            return value if isinstance(value, int) else read_instant(value, "$")
        except Invalid as error:
            self.fail(error.message, param, ctx)


@contextmanager
def failures(*errors: type[BaseException]) -> Iterator[None]:
    """Have these errors end the command with their text as one sentence and exit code 1."""
    try:
        yield
    except errors as error:
        raise click.ClickException(str(error) or type(error).__name__) from None


def as_sentence(text: str) -> str:
    """The text on one line, with a capital letter and a full stop."""
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")

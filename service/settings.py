"""Every setting of a node, read once into one frozen Struct.

A setting is one field of `Settings`: its environment variable is `ROOMCAST_` and the field's name in capitals, its flag
of `roomcast serve` is the name with dashes, and the README's table is made from the same fields. Nothing below `app.py`
reads configuration; it gets plain values.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

PREFIX: Final = "ROOMCAST_"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Rate = Annotated[int, Meta(ge=1, le=1_000_000)]
_MetricsPort = Annotated[int, Meta(ge=1, le=65_535 - 255)]  # the last worker's must be a port too


class SettingsError(ValueError):
    """A setting that can't be used. Its text is one sentence that says which, why and what to do."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of `roomcast serve` runs with; `Meta.description` is the README's text."""

    host: Annotated[str, Meta(description="Address to listen on; `0.0.0.0` for every interface.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")] = 8000
    workers: Annotated[
        int, Meta(ge=1, le=256, description="Node processes that share the port; one for each core.")
    ] = 1
    data_dir: Annotated[
        Path,
        Meta(description="Where SQLite, the sealing key and the embedded Valkey's data live (made with mode 0700)."),
    ] = Path(".roomcast")
    redis_url: Annotated[
        str | None,
        Meta(
            description="Redis ≥ 7 or Valkey ≥ 8: `redis://`, `rediss://`, `unix://`, `redis+sentinel://` or "
            "`redis+cluster://`, as docs/redis.md says. Unset: an embedded Valkey."
        ),
    ] = None
    database_url: Annotated[
        str | None, Meta(description="`postgresql://…` or `sqlite:///…`. Unset: SQLite in the data directory.")
    ] = None
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Meta(description="Networks, separated by commas, whose `X-Forwarded-For` is believed, as `10.0.0.0/8,::1`."),
    ] = ()
    connects_per_second_per_address: Annotated[
        _Rate | None, Meta(description="New connections a second from one client address; `none` for no limit.")
    ] = 100
    metrics_port: Annotated[
        _MetricsPort | None,
        Meta(
            description="Port of Prometheus' `/metrics`; worker N of several serves it on this port + N.",
        ),
    ] = None
    log_format: Annotated[
        Literal["console", "json"], Meta(description="`console` for people, `json` for machines.")
    ] = "console"
    sealing_key: Annotated[
        bytes | None,
        Meta(
            description="32 bytes as base64 that seal signing secrets in the database. "
            "Unset, on SQLite: made in the data directory; off SQLite it is required."
        ),
    ] = None
    operator_token: Annotated[
        str | None,
        Meta(
            description="What opens `/v1/tenants`: 32 characters or more, the same on all machines. "
            "Unset: made in `operator-token` of the data directory."
        ),
    ] = None
    redis_restart: Annotated[
        Literal["prove", "trust"],
        Meta(
            description="After a restart of Redis: `prove` starts new epochs unless it has `appendfsync always`, "
            "`trust` believes that it kept all, unless it is seen that it did not."
        ),
    ] = "prove"
    audit_retention_days: Annotated[
        int, Meta(ge=1, le=36_500, description="How long it is known who changed what of a tenant.")
    ] = 365
    usage_minutes_retention_days: Annotated[
        int, Meta(ge=1, le=400, description="How long usage is kept by the minute; then by the hour.")
    ] = 7
    usage_hours_retention_days: Annotated[
        int, Meta(ge=1, le=36_500, description="How long usage is kept by the hour.")
    ] = 400
    outbox_max_bytes: Annotated[
        int,
        Meta(ge=65_536, le=2**30, description="Bytes that may wait for a slow socket, then 4450; a page is 512 KiB."),
    ] = 1024 * 1024
    ping_interval_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Silence after which the server pings a client.")
    ] = 25
    pong_timeout_seconds: Annotated[float, Meta(gt=0, le=86_400, description="Wait for the pong; then close 4408.")] = (
        10
    )
    handshake_timeout_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Time for a client to send its headers, and for the handshake.")
    ] = 5
    drain_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=3_600,
            description="Over how long a node that ends spreads the closes of its sockets, where they are many.",
        ),
    ] = 20
    stop_timeout_seconds: Annotated[
        float,
        Meta(gt=0, le=86_400, description="Time for what is under way when a node has drained; then it is ended."),
    ] = 8
    redis_is_embedded: Annotated[bool, Meta(extra={"internal": True}, description="Set by the supervisor.")] = False

    def __repr__(self) -> str:
        """Show none of the secrets: sealing key, operator token, and passwords within the two URLs."""
        return f"<Settings {self.host}:{self.port} in {self.data_dir}>"

    @property
    def database_is_sqlite(self) -> bool:
        """Whether the database is a file that the data directory's owner guards."""
        return self.database_url is None or self.database_url.startswith("sqlite")

    @property
    def operator_token_file(self) -> Path:
        """Where the operator's token lies, for its owner alone, unless the environment brings it."""
        return self.data_dir / "operator-token"

    @property
    def sql_url(self) -> str:
        """The database's URL: the one that was set, else of the file in the data directory."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'roomcast.db'}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from the variables in `environment`; an empty variable counts as unset.

    Raises SettingsError for the first value that can't be used.
    """
    values = {
        name: _read(name, text.strip())
        for name in Settings.__struct_fields__
        if (text := environment.get(variable_name(name), "")).strip()
    }
    settings = Settings(**values)
    if settings.sealing_key is None and not settings.database_is_sqlite:
        raise SettingsError(
            "A database other than SQLite needs a sealing key that all nodes share: set ROOMCAST_SEALING_KEY to the "
            "output of `head -c 32 /dev/urandom | base64` and keep it safe."
        )
    return settings


def write_settings(settings: Settings) -> dict[str, str]:
    """The environment from which `read_settings` makes `settings` again: how a supervisor tells its workers."""
    return {
        variable_name(name): text
        for name in settings.__struct_fields__
        if (text := _write(getattr(settings, name))) is not None
    }


def variable_name(field: str) -> str:
    """The environment variable of a field: `data_dir` has `ROOMCAST_DATA_DIR`."""
    return PREFIX + field.upper()


def flag_name(field: str) -> str:
    """The command line's flag of a field: `data_dir` has `--data-dir`."""
    return "--" + field.replace("_", "-")


def describe_settings() -> dict[str, tuple[str, str]]:
    """Each public field's (default as text, description in Markdown), in the order of the table."""
    metas = {name: get_args(hint)[1] for name, hint in _HINTS.items()}
    return {
        field.name: (_write(field.default) or "", metas[field.name].description)
        for field in msgspec.structs.fields(Settings)
        if not (metas[field.name].extra or {}).get("internal")
    }


def serve_flags() -> dict[str, tuple[str, str]]:
    """As `describe_settings`, those that may stand on the command line: two secrets may not, `ps` would show them."""
    return {name: about for name, about in describe_settings().items() if name not in ("sealing_key", "operator_token")}


def settings_table() -> str:
    """The README's table of settings, in Markdown."""
    rows = [
        f"| `{variable_name(name)}` | {f'`{default}`' if default else ''} | {description} |"
        for name, (default, description) in describe_settings().items()
    ]
    return "\n".join(["| variable | default | |", "|---|---|---|", *rows])


def _read(name: str, text: str) -> Any:
    """One field's value from its text, checked against the field's type and bounds."""
    if text.lower() == "none" and NoneType in get_args(get_args(_HINTS[name])[0]):
        return None
    read = _READERS.get(name)
    try:
        return read(text) if read else msgspec.convert(text, _HINTS[name], strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        reason = f"{error}" if read else f"give {_accepted(_HINTS[name])}"
    shown = "this value" if name in _SECRETS else repr(text)
    flag = f" ({flag_name(name)})" if name in serve_flags() else ""
    raise SettingsError(f"{variable_name(name)}{flag} can't be {shown}: {reason}.")


def _accepted(hint: Any) -> str:
    """What a number or a choice may be, in words."""
    inner, meta = get_args(hint)
    if get_origin(inner) is Literal:
        return " or ".join(get_args(inner))
    if NoneType in get_args(inner):
        return f"{_accepted(get_args(inner)[0])}, or none"
    if meta.gt is not None:
        return f"a number above {meta.gt} and up to {meta.le}"
    return f"a whole number from {meta.ge} to {meta.le}"


def _write(value: object) -> str | None:
    match value:
        case None:
            return "none"
        case bytes():
            return base64.b64encode(value).decode()
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value)) or None
        case _:
            return str(value)


def _read_networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{error}; give addresses or networks separated by commas, as 10.0.0.0/8,::1") from None


def _read_redis_url(text: str) -> str:
    if not re.match(r"(rediss?|unix|redis\+sentinel|redis\+cluster)://", text):
        raise ValueError(
            "give a URL that starts with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, "
            "as redis://127.0.0.1:6379/0"
        )
    return text


def _read_database_url(text: str) -> str:
    if not re.match(r"(sqlite|postgres|postgresql)(\+\w+)?://", text):
        raise ValueError("give a URL as postgresql://user:password@host/database or sqlite:////path/to/file")
    return text


def _read_sealing_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ValueError("it must be 32 bytes in base64; make one with `head -c 32 /dev/urandom | base64`")
    return key


def read_operator_token(text: str) -> str:
    """The operator's token, as it is given. Raises ValueError for one that is too short, or none."""
    # RFC 6750, section 2.1: what a bearer token is made of. One that begins as an API key would never be looked at.
    if not re.fullmatch(r"(?!rck_)[A-Za-z0-9._~+/-]{32,512}=*", text):
        raise ValueError(
            "it must be 32 to 512 letters, digits and ._~+/- that don't begin with rck_; "
            "make one with `head -c 32 /dev/urandom | base64`"
        )
    return text


# The URLs may carry passwords: errors don't repeat them.
_SECRETS: Final = {"sealing_key", "operator_token", "redis_url", "database_url"}
_READERS: Final[dict[str, Callable[[str], object]]] = {
    "data_dir": Path,
    "trusted_proxies": _read_networks,
    "redis_url": _read_redis_url,
    "database_url": _read_database_url,
    "sealing_key": _read_sealing_key,
    "operator_token": read_operator_token,
}
_HINTS: Final = get_type_hints(Settings, include_extras=True)

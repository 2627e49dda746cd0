"""The database opened and made ready, for the command line and, at its start, for `serve`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from service.orders import Answer, Demo
from service.private_files import make_private_folder, read_or_make_private_file, write_private_file
from service.protocol.errors import RoomcastError
from service.settings import Settings, SettingsError, read_operator_token
from service.tenants.audit import SYSTEM
from service.tenants.keys import Sealer, SealingKeyError, load_or_make_sealing_key, new_operator_token
from service.tenants.snapshot import SCOPES
from service.tenants.storage import NewTenant, NotMigrated, Storage, upgrade_database
from service.tenants.tokens import sign_token

DEMO_TENANT: Final = "demo"
DEMO_USER: Final = "alice"
_DEMO_TOKEN_SECONDS: Final = 86_400  # the longest that a token may live

T = TypeVar("T")

# What opening a database and asking it may raise, each with a text for people.
DATABASE_ERRORS: Final = (RoomcastError, SealingKeyError, NotMigrated, SettingsError, OSError)


class SigningKeyText(msgspec.Struct):
    """A signing key with its secret, as it is shown once."""

    kid: str
    algorithm: str
    secret: str


class TenantKeys(msgspec.Struct):
    """What `roomcast tenant create` prints and `demo.json` holds."""

    tenant: str
    signing_key: SigningKeyText
    api_key: str

    @classmethod
    def of(cls, new: NewTenant) -> "TenantKeys":
        """The keys of a tenant just made."""
        return cls(new.tenant.name, SigningKeyText(new.kid, new.algorithm, new.secret), new.api_key)


def prepare_database(settings: Settings) -> None:
    """Make the data directory and bring the database to the newest schema. Raises one of DATABASE_ERRORS."""
    make_private_folder(settings.data_dir)
    upgrade_database(settings.sql_url)


def load_operator_token(settings: Settings) -> str:
    """The operator's token: the one that is set, else of the file, which is made on the first call.

    Raises SettingsError when the file can't be used.
    """
    if settings.operator_token is not None:
        return settings.operator_token
    file = settings.operator_token_file
    try:
        return read_operator_token(read_or_make_private_file(file, new_operator_token))
    except OSError as error:
        raise SettingsError(f"The operator's token {file} can't be used: {error.strerror}.") from None
    except ValueError as error:
        raise SettingsError(f"The operator's token {file} can't be used: {error}, or remove the file.") from None


async def open_storage(settings: Settings) -> Storage:
    """The database, to be closed by the caller. The sealing key is made on the first call, on SQLite.

    Raises one of DATABASE_ERRORS.
    """
    key = settings.sealing_key or load_or_make_sealing_key(settings.data_dir / "sealing.key")
    return await Storage.open(settings.sql_url, Sealer(key), audit_retention_days=settings.audit_retention_days)


def with_storage(settings: Settings, work: Callable[[Storage], Awaitable[T]]) -> T:
    """What `work` makes of the database that is there already. Raises one of DATABASE_ERRORS."""

    async def open_and_work() -> T:
        storage = await open_storage(settings)
        try:
            return await work(storage)
        finally:
            await storage.close()

    if settings.database_url is None and not (settings.data_dir / "roomcast.db").exists():
        raise SettingsError(
            f"There is no database in {settings.data_dir}: run `roomcast db upgrade` or `roomcast serve` first, or say "
            "where it is with --data-dir."
        )
    return asyncio.run(open_and_work())


async def find_or_make_demo(settings: Settings, storage: Storage) -> Demo:
    """The demo tenant's token and keys; the keys lie in `demo.json` of the data directory, for its owner alone."""
    keys_file = settings.data_dir / "demo.json"
    tenant = await storage.find_tenant(DEMO_TENANT)
    if tenant is None:
        keys = TenantKeys.of(await storage.tenants.create(SYSTEM, DEMO_TENANT))
        tenant = await storage.find_tenant(DEMO_TENANT)
        assert tenant is not None  # noqa: S101 - it was made in the line above
    elif keys_file.exists():
        keys = msgspec.json.decode(keys_file.read_bytes(), type=TenantKeys)
    else:  # secrets are shown once: a lost file needs new ones
        signing_key, secret = await storage.keys.create_signing_key(SYSTEM, tenant.id, "HS256")
        _, api_key = await storage.keys.create_api_key(SYSTEM, tenant.id, "demo", SCOPES)
        keys = TenantKeys(tenant.name, SigningKeyText(signing_key.kid, "HS256", secret or ""), api_key)
    write_private_file(keys_file, msgspec.json.format(msgspec.json.encode(keys)).decode() + "\n")
    token = sign_token(
        tenant,
        user=DEMO_USER,
        rooms={"*": ["*"]},
        send=True,
        ttl_seconds=_DEMO_TOKEN_SECONDS,
        now_ms=time.time_ns() // 1_000_000,
    )
    return Demo(DEMO_USER, token, keys.api_key, str(keys_file))


def prepare(settings: Settings, *, demo: bool) -> Answer:
    """Make the database ready, with `demo` the demo tenant too; a failure is a sentence in the answer."""
    try:
        prepare_database(settings)
        if demo:
            return Answer(demo=with_storage(settings, lambda storage: find_or_make_demo(settings, storage)))
        with_storage(settings, _look)
    except DATABASE_ERRORS as error:
        return Answer(error=str(error) or type(error).__name__)
    return Answer()


async def _look(_storage: Storage) -> None:
    """Nothing: that it opens shows that the sealing key is the right one."""

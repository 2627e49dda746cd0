"""`roomcast signing-key`: the keys under which a tenant's tokens verify."""

from typing import TextIO

import msgspec
import rich_click as click

from service.command_line.options import Instant, failures, option, stored
from service.command_line.stored import ask_for_all, ask_for_tenant, show, show_all
from service.preparation import DATABASE_ERRORS
from service.tenants.audit import COMMAND_LINE
from service.tenants.keys import ALGORITHMS
from service.tenants.public_keys import read_public_key
from service.tenants.records import SigningKeyRecord
from service.tenants.resources import describe_new_signing_key, describe_signing_key
from service.tenants.storage import Storage


@click.group("signing-key")
def signing_key() -> None:
    """Signing keys, under which a tenant's tokens verify."""


@signing_key.command()
@click.argument("tenant")
@option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default="HS256",
    show_default=True,
    envvar="ROOMCAST_ALGORITHM",
    help="HS256 has a secret made; the others import a public key.",
)
@option("--public-key", type=click.File(), envvar="ROOMCAST_PUBLIC_KEY", help="File with a PEM or a JWK; - is stdin.")
@option("--name", default="", envvar="ROOMCAST_NAME", help="What people know it by.")
@option("--kid", envvar="ROOMCAST_KID", help="The kid of tokens under it; else one is made.")
@option("--expires-at", type=Instant(), envvar="ROOMCAST_EXPIRES_AT", help="As 2027-01-31T00:00:00Z; else never.")
@stored
def create(
    tenant: str,
    algorithm: str,
    public_key: TextIO | None,
    name: str,
    kid: str | None,
    expires_at: int | None,
    as_json: bool,
    **texts: str | None,
) -> None:
    """Make or import a signing key of TENANT; the secret of HS256 is shown this once."""
    with failures(*DATABASE_ERRORS):
        material = _read_material(algorithm, None if public_key is None else public_key.read())

    async def work(storage: Storage, tenant_id: str) -> tuple[SigningKeyRecord, str | None]:
        return await storage.keys.create_signing_key(
            COMMAND_LINE, tenant_id, algorithm, material, name=name, kid=kid, expires_at_ms=expires_at
        )

    show(describe_new_signing_key(*ask_for_tenant(texts, tenant, work)), as_json)


def _read_material(algorithm: str, text: str | None) -> bytes | None:
    if text is None or not text.lstrip().startswith("{"):
        return read_public_key(algorithm, text, None)
    try:
        return read_public_key(algorithm, None, msgspec.json.decode(text, type=dict))
    except msgspec.DecodeError:
        raise click.ClickException("The public key is neither a PEM nor a JWK.") from None


@signing_key.command("list")
@click.argument("tenant")
@stored
def list_keys(tenant: str, as_json: bool, **texts: str | None) -> None:
    """List the signing keys of TENANT, expired and revoked ones too."""
    found = ask_for_all(texts, tenant, lambda storage: storage.keys.page_signing_keys)
    show_all(map(describe_signing_key, found), as_json)


@signing_key.command()
@click.argument("tenant")
@click.argument("kid")
@stored
def revoke(tenant: str, kid: str, as_json: bool, **texts: str | None) -> None:
    """Refuse tokens under the signing key KID of TENANT, and close the sockets that came with one."""

    async def work(storage: Storage, tenant_id: str) -> SigningKeyRecord:
        return await storage.keys.revoke_signing_key(COMMAND_LINE, tenant_id, kid)

    show(describe_signing_key(ask_for_tenant(texts, tenant, work)), as_json)

"""Signing keys: under which a tenant's tokens verify, and how many live connections each has let in."""

from functools import partial

import msgspec
from litestar import Controller, delete, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET

from service.api.changes import announce
from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import named, read
from service.api.parameters import Cursor, KidInPath, Limit
from service.api.strict import StrictBody
from service.protocol.administration import NewSigningKey, SigningKeyBody, SigningKeyPage, SigningKeyUse
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.audit import Actor
from service.tenants.public_keys import read_public_key
from service.tenants.resources import describe_new_signing_key, describe_signing_key
from service.tenants.storage import Storage


class SigningKeysController(Controller):
    """`/signing-keys`."""

    path = "/signing-keys"
    tags = ("keys",)

    @post(
        operation_id=named("createSigningKey"),
        summary="Make or import a signing key",
        dto=StrictBody,
        **needs("manage"),
    )
    async def create_signing_key(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        data: JSONBody[SigningKeyBody],
    ) -> NewSigningKey:
        """Good at once, beside the others. HS256 has its `secret` made here and shown this once."""
        pem = None if data.pem is UNSET else data.pem
        jwk = None if data.jwk is UNSET else data.jwk
        key, secret = await storage.keys.create_signing_key(
            actor,
            manager.tenant.id,
            data.algorithm,
            read_public_key(data.algorithm, pem, jwk),
            name=data.name,
            kid=None if data.kid is UNSET else data.kid,
            expires_at_ms=None if data.expires_at_ms is UNSET else data.expires_at_ms,
        )
        await announce(node, manager.tenant.id)
        return describe_new_signing_key(key, secret)

    @read(operation_id="listSigningKeys", summary="List the signing keys and who is connected", **needs("manage"))
    async def list_signing_keys(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> SigningKeyPage:
        """By kid; expired and revoked ones too. A connection counts under the key of its last token."""
        tenant_id = manager.tenant.id
        find = partial(storage.keys.page_signing_keys, tenant_id)
        found, next_cursor = await page_of(tenant_id, "signing-keys", cursor, limit, find, lambda key: key.kid)
        connections = await manager.broker.key_connections(tenant_id)
        items = [
            SigningKeyUse(**msgspec.structs.asdict(describe_signing_key(key)), connections=connections.get(key.kid, 0))
            for key in found
        ]
        return SigningKeyPage(items=items, next_cursor=next_cursor)

    @delete("/{kid:str}", operation_id=named("revokeSigningKey"), summary="Revoke a signing key", **needs("manage"))
    async def revoke_signing_key(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        kid: KidInPath,
    ) -> None:
        """Its tokens are refused and just its sockets closed with 4401, within 2 s on all nodes."""
        await storage.keys.revoke_signing_key(actor, manager.tenant.id, kid)
        await announce(node, manager.tenant.id)

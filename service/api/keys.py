"""API keys: with which a tenant's servers ask."""

from functools import partial

from litestar import Controller, delete, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET

from service.api.changes import announce
from service.api.cursors import page_of
from service.api.guards import needs
from service.api.operations import named, read
from service.api.parameters import Cursor, KeyIdInPath, Limit
from service.api.strict import StrictBody
from service.protocol.administration import ApiKeyBody, ApiKeyPage, NewApiKey
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.audit import Actor
from service.tenants.resources import describe_api_key, describe_new_api_key
from service.tenants.storage import Storage


class KeysController(Controller):
    """`/keys`."""

    path = "/keys"
    tags = ("keys",)

    @post(operation_id=named("createKey"), summary="Make an API key", dto=StrictBody, **needs("manage"))
    async def create_key(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        data: JSONBody[ApiKeyBody],
    ) -> NewApiKey:
        """The answer's `api_key` is shown this once."""
        tenant_id = manager.tenant.id
        expires_at_ms = None if data.expires_at_ms is UNSET else data.expires_at_ms
        key, text = await storage.keys.create_api_key(actor, tenant_id, data.name, data.scopes, expires_at_ms)
        await announce(node, tenant_id)
        return describe_new_api_key(key, text)

    @read(operation_id="listKeys", summary="List the API keys", **needs("manage"))
    async def list_keys(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> ApiKeyPage:
        """By key id; expired and revoked ones too."""
        find = partial(storage.keys.page_api_keys, manager.tenant.id)
        found, next_cursor = await page_of(manager.tenant.id, "keys", cursor, limit, find, lambda key: key.key_id)
        return ApiKeyPage(items=[describe_api_key(key) for key in found], next_cursor=next_cursor)

    @delete("/{key_id:str}", operation_id=named("revokeKey"), summary="Revoke an API key", **needs("manage"))
    async def revoke_key(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        key_id: KeyIdInPath,
    ) -> None:
        """Requests with it are `unauthenticated` within 2 s on all nodes. Said twice is said once."""
        await storage.keys.revoke_api_key(actor, manager.tenant.id, key_id)
        await announce(node, manager.tenant.id)

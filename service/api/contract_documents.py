"""A tenant's own documents: OpenAPI of what its servers may ask, AsyncAPI of what its users' clients send and get."""

from typing import Any, Protocol, cast, runtime_checkable

from litestar import Controller, Response
from litestar.di import NamedDependency

from service.api.guards import needs
from service.api.operations import read
from service.rooms.connection_manager import ConnectionManager
from service.tenants.contract import Contract


@runtime_checkable  # Litestar looks whether it got one
class ContractDocuments(Protocol):
    """What makes the documents, in JSON; `documents` is a layer beside this one."""

    def openapi(self, tenant: str, contract: Contract) -> bytes:
        """OpenAPI 3.1."""

    def asyncapi(self, tenant: str, contract: Contract) -> bytes:
        """AsyncAPI 3.0."""


class ContractDocumentsController(Controller):
    """`/contract/….json`."""

    path = "/contract"
    tags = ("contract",)

    @read("/openapi.json", operation_id="getOpenapi", summary="Get the tenant's OpenAPI document", **needs("read"))
    async def read_openapi(
        self, manager: NamedDependency[ConnectionManager], documents: NamedDependency[ContractDocuments]
    ) -> Response[dict[str, Any]]:
        """What the tenant's servers may ask, with the schemas of its contract."""
        tenant = manager.tenant
        return _json(documents.openapi(tenant.name, tenant.contract), "application/vnd.oai.openapi+json")

    @read("/asyncapi.json", operation_id="getAsyncapi", summary="Get the tenant's AsyncAPI document", **needs("read"))
    async def read_asyncapi(
        self, manager: NamedDependency[ConnectionManager], documents: NamedDependency[ContractDocuments]
    ) -> Response[dict[str, Any]]:
        """What the clients of the tenant's users send and get, a channel for each pattern of rooms."""
        tenant = manager.tenant
        return _json(documents.asyncapi(tenant.name, tenant.contract), "application/vnd.aai.asyncapi+json")


def _json(document: bytes, media_type: str) -> Response[dict[str, Any]]:
    return cast("Response[dict[str, Any]]", Response(document, media_type=media_type))

"""Documents of tenants, ready to be sent."""

from typing import Any

import msgspec
from litestar import Litestar

from service.documents.contract_openapi import describe_tenant_openapi
from service.documents.contract_protocol import describe_tenant_protocol
from service.documents.openapi import finish_openapi
from service.documents.openapi_3_0 import downgrade
from service.documents.plain import plain_document
from service.tenants.contract import Contract


class Documents:
    """Makes them from the documents of the product. Make one when all routes of `app` are registered."""

    def __init__(self, app: Litestar) -> None:
        self._product: dict[str, Any] = plain_document(finish_openapi(app))

    def openapi(self, tenant: str, contract: Contract, *, in_3_0: bool = False) -> bytes:
        """OpenAPI 3.1, or 3.0.3, of what the tenant's servers may ask, in JSON."""
        document = describe_tenant_openapi(self._product, tenant, contract)
        return msgspec.json.encode(downgrade(document) if in_3_0 else document)

    def asyncapi(self, tenant: str, contract: Contract) -> bytes:
        """AsyncAPI 3.0 of what the clients of its users send and get, in JSON."""
        return msgspec.json.encode(describe_tenant_protocol(tenant, contract))

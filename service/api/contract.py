"""The tenant's contract: all of its room types with their schemas, with versions."""

from typing import Annotated

from litestar import Controller, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK

from service.api.changes import announce
from service.api.cursors import page_of
from service.api.guards import manager_of, needs
from service.api.operations import named, read
from service.api.parameters import Breaking, Cursor, Limit
from service.api.strict import StrictBody
from service.protocol.contracts import ContractAnswer, ContractVersion, ContractVersionPage
from service.rooms.connection_manager import ConnectionManager
from service.rooms.node import Node
from service.tenants.audit import Actor
from service.tenants.contract import Contract
from service.tenants.storage import Storage

# A contract counts as one more request for so much of it: to look at it takes as long as that.
_BYTES_PER_REQUEST = 64 * 1024

DryRun = Annotated[bool, QueryParameter(description="Whether only to tell what would change, breaks included.")]
VersionInPath = Annotated[int, PathParameter(ge=1, le=2**53 - 1, description="A version of the contract.")]


class ContractBody(StrictBody):
    """A contract, counted as several requests when it is large."""

    def decode_bytes(self, value: bytes) -> Contract:
        """The contract. Raises Malformed or Invalid."""
        manager_of(self.asgi_connection).budgets.charge_requests(len(value) // _BYTES_PER_REQUEST)
        contract: Contract = super().decode_bytes(value)
        return contract


class ContractController(Controller):
    """`/contract`."""

    path = "/contract"
    tags = ("contract",)

    @read(operation_id="getContract", summary="Read the contract", **needs("read"))
    async def read_contract(
        self, manager: NamedDependency[ConnectionManager], storage: NamedDependency[Storage]
    ) -> Contract:
        """All room types with their schemas, and the version that they are; 0: there never was one."""
        return await storage.contracts.read(manager.tenant.id)

    @put(
        operation_id=named("putContract"),
        summary="Replace the contract",
        status_code=HTTP_200_OK,
        dto=ContractBody,
        is_batch=True,
        **needs("manage"),
    )
    async def put_contract(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        actor: NamedDependency[Actor],
        node: NamedDependency[Node],
        data: JSONBody[Contract],
        breaking: Breaking = False,
        dry_run: DryRun = False,
    ) -> ContractAnswer:
        """Whole, in force within 2 s on all nodes; the same again changes nothing.

        A change that breaks clients is a `conflict` that names each break, unless `breaking` says that it is meant. So
        is a `version` that is not the one in force.
        """
        if dry_run:
            return await storage.contracts.preview(manager.tenant.id, data)
        answer = await storage.contracts.put(actor, manager.tenant.id, data, breaking=breaking)
        if answer.changes:
            await announce(node, manager.tenant.id)
        return answer

    @read("/versions", operation_id="listContractVersions", summary="List the contract's versions", **needs("read"))
    async def list_versions(
        self,
        manager: NamedDependency[ConnectionManager],
        storage: NamedDependency[Storage],
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> ContractVersionPage:
        """The last hundred, the newest first."""
        tenant_id = manager.tenant.id

        async def find(after: str, most: int) -> list[ContractVersion]:
            return await storage.contracts.page(tenant_id, after, most)

        found, next_cursor = await page_of(
            tenant_id, "contract-versions", cursor, limit, find, lambda item: str(item.version)
        )
        return ContractVersionPage(items=list(found), next_cursor=next_cursor)

    @read(
        "/versions/{version:int}",
        operation_id="getContractVersion",
        summary="Read a version of the contract",
        **needs("read"),
    )
    async def read_version(
        self, manager: NamedDependency[ConnectionManager], storage: NamedDependency[Storage], version: VersionInPath
    ) -> Contract:
        """The contract as it was."""
        return await storage.contracts.read_version(manager.tenant.id, version)

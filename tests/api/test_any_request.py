"""schemathesis makes requests from the document, right and wrong ones, and sends them to the running server."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error, unsupported_method
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conftest import make_tenant
from tests.api.rest import Server, Tenant
from tests.api.test_openapi import document

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


OPERATORS = ("/v1/tenants", "/v1/nodes")
FOR_A_TENANT = "ForTenant$"

published = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def guinea(server: Server) -> Tenant:
    """A tenant whose rules, keys and rooms become anything."""
    return make_tenant(server, "guinea")


def keeps_to_its_document(case: schemathesis.Case[Any], server: Server, tenant: Tenant) -> None:
    bearer = tenant.token("ann", rooms={"*": ["*"]}, send=True) if case.path == "/v1/commands" else tenant.api_key
    if case.path.startswith(OPERATORS):
        bearer = (server.data_dir / "operator-token").read_text().strip()
    case.call_and_validate(base_url=server.address, headers={"Authorization": f"Bearer {bearer}"}, checks=CHECKS)


@published.exclude(operation_id_regex=FOR_A_TENANT).parametrize()
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_its_document(case: schemathesis.Case[Any], server: Server, guinea: Tenant) -> None:
    keeps_to_its_document(case, server, guinea)


@published.include(operation_id_regex=FOR_A_TENANT).parametrize()
@settings(max_examples=5, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_it_at_the_operators_path(
    case: schemathesis.Case[Any], server: Server, guinea: Tenant
) -> None:
    # The handlers are those of before. Any name but this is hardly ever there.
    if case.meta is None or case.meta.generation.mode.is_positive:
        case.path_parameters["tenant"] = guinea.name
    keeps_to_its_document(case, server, guinea)

"""schemathesis makes requests from the document, right and wrong ones, and sends them to the running server."""

from typing import Any

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


published = schemathesis.openapi.from_dict(document())


@published.parametrize()
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_its_document(case: schemathesis.Case[Any], server: Server, acme: Tenant) -> None:
    bearer = acme.token("ann", rooms={"*": ["*"]}, send=True) if case.path == "/v1/commands" else acme.api_key
    case.call_and_validate(base_url=server.address, headers={"Authorization": f"Bearer {bearer}"}, checks=CHECKS)

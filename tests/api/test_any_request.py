"""schemathesis makes requests from the document, good ones and bad ones, against the running server."""


import pytest
import schemathesis
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.api.rest import Server


@pytest.fixture(scope="session")
def document(server: Server) -> OpenApiSchema:
    return schemathesis.openapi.from_url(f"{server.address}/schema/openapi.json")

"""The documents of a sample contract and of the product, made without a node, and the tools that judge them."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from service.app import create_app
from service.documents.asyncapi import describe_protocol
from service.documents.of_contracts import Documents
from service.documents.openapi_3_0 import downgrade
from service.documents.plain import plain_document
from service.settings import Settings
from service.tenants.contract import Contract

HERE = Path(__file__).parent
NODE = HERE / "node"
CONTRACT = msgspec.yaml.decode((HERE / "contract.yaml").read_bytes(), type=Contract)


@cache
def _app() -> Any:
    return create_app(Settings(data_dir=HERE))


@cache
def document(name: str) -> Any:
    """openapi, openapi-3.0 or asyncapi; with `tenant-` before it, of the sample contract."""
    documents: Documents = _app().state.documents
    match name:
        case "openapi":
            return plain_document(_app().openapi_schema)
        case "openapi-3.0":
            return downgrade(plain_document(_app().openapi_schema))
        case "asyncapi":
            return describe_protocol()
        case "tenant-openapi":
            return json.loads(documents.openapi("demo", CONTRACT))
        case "tenant-openapi-3.0":
            return json.loads(documents.openapi("demo", CONTRACT, in_3_0=True))
        case "tenant-asyncapi":
            return json.loads(documents.asyncapi("demo", CONTRACT))
    raise ValueError(name)


def validator(name: str, schema: Any) -> jsonschema_rs.Validator:
    """Of a schema in a document, its references to components included."""
    held = {**schema, "components": document(name)["components"]}
    return jsonschema_rs.validator_for(held, offline=True)


def node_tool(*command: str, cwd: Path = NODE) -> subprocess.CompletedProcess[str]:
    """What comes of one of the tools in `node/`; skipped where they are not installed."""
    program = NODE / "node_modules" / ".bin" / command[0]
    if command[0] == "node":
        program = Path(shutil.which("node") or "node")
    if not (NODE / "node_modules").is_dir():
        pytest.skip("npm ci --prefix tests/documents/node was not run")
    return subprocess.run(
        [str(program), *command[1:]], cwd=cwd, capture_output=True, text=True, check=False, timeout=100
    )

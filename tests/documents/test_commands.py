"""`roomcast generate` and `roomcast contract openapi|asyncapi`, from a file and from a tenant's stored contract."""

import json
from pathlib import Path

from service.documents.python import write_python
from service.documents.typescript import write_typescript
from tests.documents.published import CONTRACT, HERE
from tests.support.command_line import printed, refused

FILE = str(HERE / "contract.yaml")


def test_types_are_written_from_a_file(tmp_path: Path) -> None:
    assert printed("generate", "typescript", "--tenant", "demo", "--contract", FILE) == write_typescript(
        "demo", CONTRACT
    )
    assert printed("generate", "python", "--tenant", "demo", "--contract", FILE, "-o", str(tmp_path / "demo.py")) == ""
    assert (tmp_path / "demo.py").read_text() == write_python("demo", CONTRACT)


def test_types_and_documents_are_written_of_a_tenants_stored_contract(tmp_path: Path) -> None:
    where = {"ROOMCAST_DATA_DIR": str(tmp_path / "data")}
    printed("tenant", "create", "acme", "--json", **where)
    printed("contract", "apply", _without_version(tmp_path), "--tenant", "acme", **where)
    types = printed("generate", "typescript", "--tenant", "acme", **where)
    assert "Contract of tenant acme, version 1." in types
    assert "export interface ChatSaid {" in types
    asyncapi = json.loads(printed("contract", "asyncapi", "--tenant", "acme", **where))
    assert asyncapi["channels"]["chatRooms"]["address"] == "chat:{rest}"
    openapi = json.loads(printed("contract", "openapi", "--tenant", "acme", "--form", "3.0", **where))
    assert openapi["openapi"] == "3.0.3"
    assert "ChatSaid" in openapi["components"]["schemas"]


def test_wrong_use_is_told_in_a_sentence(tmp_path: Path) -> None:
    assert "--tenant NAME, or --contract FILE" in refused("generate", "python", code=2)
    bad = tmp_path / "bad.yaml"
    bad.write_text("room_types: {chat: {messages: {said: {type: nothing}}}}")
    assert "schema" in refused("generate", "python", "--contract", str(bad)).lower()


def _without_version(folder: Path) -> str:
    path = folder / "contract.yaml"
    path.write_text((HERE / "contract.yaml").read_text().replace("version: 3\n", ""))
    return str(path)

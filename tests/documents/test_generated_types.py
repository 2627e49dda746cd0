"""The types that `roomcast generate` writes: deterministic, strict compilers take them, and refuse what is wrong."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from service.documents.contract_schemas import pascal
from service.documents.python import write_python
from service.documents.typescript import write_typescript
from service.tenants.contract import Contract
from tests.documents.published import CONTRACT, HERE, node_tool

CLIENT = HERE.parent.parent / "clients" / "python"
RIGHT = 'said: ChatSaid = { text: "a", nested: { a: true }, point: [1, 2], part: { kind: "link", href: "x" } }'
WRONG = [
    'said: ChatSaid = { text: 1, nested: { a: true } }',
    'said: ChatSaid = { nested: { a: true } }',
    'said: ChatSaid = { text: "a", nested: { a: true }, colour: "red" }',
    'said: ChatSaid = { text: "a", nested: { a: true }, point: [1] }',
    'said: ChatSaid = { text: "a", nested: { a: true }, part: { kind: "link", url: "x" } }',
    'name: keyof Contract["chat:*"]["messages"] = "shouted"',
    'additional: Contract["news"]["additional"] = true',
]  # fmt: skip


def shuffled(contract: Contract) -> Contract:
    items = list(contract.room_types.items())
    random.shuffle(items)
    types = {}
    for name, room_type in items:
        messages = list(room_type.messages.items())
        random.shuffle(messages)
        types[name] = msgspec.structs.replace(room_type, messages=dict(messages))
    return Contract(version=contract.version, room_types=types)


@pytest.mark.parametrize("write", [write_typescript, write_python])
def test_the_same_contract_gives_the_same_text_whatever_its_order(write: Callable[[str, Contract], str]) -> None:
    assert write("demo", shuffled(CONTRACT)) == write("demo", CONTRACT)


def test_typescript_takes_what_fits_and_no_wrong_field(tmp_path: Path) -> None:
    module = write_typescript("demo", CONTRACT)
    (tmp_path / "right.ts").write_text(f"{module}\nexport const {RIGHT};\n")
    done = node_tool("tsc", "--strict", "--noEmit", str(tmp_path / "right.ts"))
    assert done.returncode == 0, done.stdout
    for number, line in enumerate(WRONG):
        (tmp_path / f"wrong{number}.ts").write_text(f"{module}\nexport const {line};\n")
    done = node_tool("tsc", "--strict", "--noEmit", *(str(tmp_path / f"wrong{n}.ts") for n in range(len(WRONG))))
    for number in range(len(WRONG)):
        assert f"wrong{number}.ts" in done.stdout, WRONG[number]


def test_python_is_strictly_typed_and_decodes_what_fits(tmp_path: Path) -> None:
    (tmp_path / "demo_contract.py").write_text(write_python("demo", CONTRACT))
    (tmp_path / "use.py").write_text(
        "from demo_contract import CHAT, CONTRACT, ChatSaid, ChatSaidLink, ChatSaidNested\n"
        "import msgspec\n"
        "said = ChatSaid(text='a', nested=ChatSaidNested(a=True), part=ChatSaidLink(href='x'))\n"
        "assert msgspec.json.decode(msgspec.json.encode(said), type=ChatSaid) == said\n"
        "assert CONTRACT.of('chat:1') is CHAT\n"
    )
    (tmp_path / "wrong.py").write_text("from demo_contract import ChatSaid\nChatSaid(text=1, colour='red')\n")
    environment = {"PYTHONPATH": str(CLIENT), "MYPYPATH": str(CLIENT), "PATH": "/usr/bin:/bin"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    done = run("use.py")
    assert done.returncode == 0, done.stderr
    done = run("-m", "mypy", "--strict", "use.py", "demo_contract.py")
    assert done.returncode == 0, done.stdout
    done = run("-m", "mypy", "--strict", "wrong.py")
    assert done.stdout.count("error:") == 2, done.stdout
    done = run("-m", "ruff", "format", "--isolated", "--line-length", "120", "--check", "demo_contract.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "name"),
    [("said", "Said"), ("user-joined", "UserJoined"), ("a.b:c*", "ABC"), ("é", "UE9"), ("42", "Any42"), ("*", "Any")],
)
def test_a_name_is_one_in_every_language(text: str, name: str) -> None:
    assert pascal(text) == name

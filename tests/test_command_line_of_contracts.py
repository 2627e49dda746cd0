"""What the command line does to contracts: applied from a file, printed, listed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import rich_click as click

from service.command_line.contract_file import read_contract
from tests.support.command_line import printed, roomcast

CONTRACT = """
room_types:
  chat:
    pattern: "chat:*"
    messages:
      said:
        type: object
        properties:
          text: {type: string, maxLength: 4000}
          answer: {enum: [yes, no, on, 2026-11-24]}
        required: [text]
    additional: refuse
"""


def write(folder: Path, text: str, name: str = "contract.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_yaml_and_json_are_the_same_contract_and_plain_words_are_texts(tmp_path: Path) -> None:
    contract = read_contract(write(tmp_path, CONTRACT))
    said = contract.room_types["chat"].messages["said"]
    assert said["properties"]["answer"]["enum"] == ["yes", "no", "on", "2026-11-24"]
    as_json = {"room_types": {"chat": {"pattern": "chat:*", "messages": {"said": said}, "additional": "refuse"}}}
    assert read_contract(write(tmp_path, json.dumps(as_json), "contract.json")) == contract
    assert read_contract(write(tmp_path, json.dumps(as_json, indent=2))) == contract


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (bomb(), "aliases"),
        ("room_types: !!python/object/apply:os.system ['true']", "constructor"),
        ("room_types: !!binary aGVsbG8=", "no contract"),
        ("room_types: {}\nroom_types: {}", "found twice"),
        ("1: {}", "no text"),
        ("[" * 5_000, "no contract"),
        ("room_types: {chat: {pattren: x}}", "pattren"),
        ("room_types: {chat: {history_messages: .nan}}", "no contract"),
        ("room_types: [", "no contract"),
        ("\xff", "no contract"),
    ],
)
def test_a_file_that_is_no_contract_is_refused_with_a_sentence(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "contract.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(click.ClickException, match=word):
        read_contract(path)


def test_a_file_over_the_bound_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="8 MiB"):
        read_contract(write(tmp_path, "#" * (8 * 1024 * 1024 + 1)))


def test_a_contract_is_applied_shown_and_its_versions_are_listed(tmp_path: Path) -> None:
    where = ("--tenant", "acme", "--data-dir", str(tmp_path / "data"))
    printed("tenant", "create", "acme", *where[2:])
    file = write(tmp_path, CONTRACT)

    def apply(*flags: str) -> "subprocess.CompletedProcess[str]":
        return roomcast("contract", "apply", str(file), *where, *flags)

    assert apply("--dry-run").stdout.splitlines() == [
        "  + $.room_types.chat  added",
        "The contract of acme stays at version 0: a dry run.",
    ]
    assert apply().stdout.splitlines()[-1] == "The contract of acme is at version 1."
    assert apply().stdout == "The contract of acme is at version 1.\n"
    shown = printed("contract", "show", *where)
    again = write(tmp_path, shown, "shown.json")
    assert read_contract(again) == read_contract(file)

    file.write_text(CONTRACT.replace("required: [text]", "required: []"))
    for flags in ((), ("--dry-run",)):
        refused = apply(*flags)
        assert refused.returncode == 1
        assert refused.stdout == "! ~ $.room_types.chat.messages.said.required  text is no longer required\n"
        assert "--breaking" in refused.stderr
    assert apply("--breaking").stdout.splitlines()[-1] == "The contract of acme is at version 2."
    versions: list[Any] = json.loads(printed("contract", "versions", *where, "--json"))
    assert [(each["version"], each["actor_kind"]) for each in versions] == [(2, "command_line"), (1, "command_line")]
    assert json.loads(printed("contract", "show", *where, "--version", "1")) == json.loads(shown)
    file.write_text(CONTRACT.replace("type: string", "type: strin"))
    wrong = apply()
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith(
        "Error: $.room_types.chat.messages.said.properties.text.type: this is no JSON Schema"
    )

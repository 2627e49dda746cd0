"""What the command line does to tenants, keys and room types: by the code of REST, and in its words."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from service.__main__ import main
from service.tenants.limits import Limits
from tests.support.command_line import printed, refused


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The flag that names a data directory with the tenants acme and globex in it."""
    flag = ("--data-dir", str(tmp_path_factory.mktemp("tenants") / "data"))
    for name in ("acme", "globex"):
        printed("tenant", "create", name, *flag)
    return flag


Complains = Callable[..., str]


@pytest.fixture
def complains(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complains:
    """Runs a command within this process, which takes a twentieth of the time; gives the sentence that it ends with."""

    def run(code: int, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["roomcast", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output, sentence = capsys.readouterr()
        assert (ended.value.code, output) == (code, "")
        assert sentence.startswith("Error: ")
        assert sentence.count("\n") == 1
        return sentence

    return run


def told(*arguments: str) -> Any:
    """What a command prints as JSON."""
    return json.loads(printed(*arguments, "--json"))


def test_a_tenant_is_shown_changed_suspended_and_resumed(where: tuple[str, str]) -> None:
    shown = told("tenant", "show", "acme", *where)
    assert shown.keys() == {"tenant", "state", "limits", "origins", "version", "created_at_ms"}
    assert shown["limits"].keys() == set(Limits.__struct_fields__)
    changed = told("tenant", "set", "acme", "--limit", "max_rooms=5", "--limit", "max_connections=none", *where)
    assert (changed["limits"]["max_rooms"], changed["limits"]["max_connections"]) == (5, None)
    changed = told("tenant", "set", "acme", "--origin", "https://a.example", *where)
    assert (changed["origins"], changed["limits"]["max_rooms"]) == (["https://a.example"], 5)
    stale = str(changed["version"] - 1)
    assert "read it again" in refused("tenant", "set", "acme", "--any-origin", "--if-version", stale, *where)
    assert (
        told("tenant", "set", "acme", "--any-origin", "--if-version", str(changed["version"]), *where)["origins"] == []
    )
    assert printed("tenant", "suspend", "acme", *where) == "Tenant acme is suspended.\n"
    assert told("tenant", "list", "--prefix", "ac", *where)[0]["state"] == "suspended"
    assert told("tenant", "resume", "acme", *where)["state"] == "active"
    text = printed("tenant", "show", "acme", *where)
    for line in (r"state +active", r"origins +any", r"max_rooms +5", r"max_connections +none", r"created_at +20\S+Z"):
        assert re.search(rf"^{line}$", text, re.MULTILINE), text


def test_a_tenant_that_is_deleted_says_how_far_that_got(where: tuple[str, str]) -> None:
    printed("tenant", "create", "fleeting", *where)
    gone = told("tenant", "delete", "fleeting", "--yes", *where)
    assert (gone["state"], gone["removed_keys"]) == ("deleting", 0)
    assert told("tenant", "show", "fleeting", *where) == gone  # no node is there to remove the rest
    assert [each["tenant"] for each in told("tenant", "list", *where)] == ["acme", "globex"]


def test_an_api_key_is_made_listed_and_revoked(where: tuple[str, str]) -> None:
    made = told(
        "key", "create", "acme", "--name", "web", "--scope", "read", "--scope", "publish",
        "--expires-at", "2099-01-31T00:00:00Z", *where,
    )  # fmt: skip
    text = made.pop("api_key")
    assert text.startswith(f"rck_acme_{made['key_id']}_")
    assert (made["scopes"], made["expires_at_ms"]) == (["publish", "read"], 4_073_500_800_000)
    assert made in told("key", "list", "acme", *where)
    assert text.rpartition("_")[2] not in printed("key", "list", "acme", *where)
    assert told("key", "revoke", "acme", made["key_id"], *where)["revoked_at_ms"] is not None
    assert f"{made['key_id']}  name=web  scopes=publish,read  " in printed("key", "list", "acme", *where)
    assert "no such key" in refused("key", "revoke", "globex", made["key_id"], *where).lower()


def test_signing_keys_rotate(where: tuple[str, str]) -> None:
    (first,) = told("signing-key", "list", "acme", *where)
    made = told("key", "signing-key", "create", "acme", "--kid", "v2", *where)
    assert (made["kid"], made["algorithm"], len(made["secret"])) == ("v2", "HS256", 43)
    assert told("signing-key", "revoke", "acme", first["kid"], *where)["revoked_at_ms"] is not None
    assert [key["revoked_at_ms"] is None for key in told("signing-key", "list", "acme", *where)].count(True) == 1


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_a_public_key_is_imported_from_a_file(where: tuple[str, str], tmp_path: Path, form: str) -> None:
    key = ECKey.generate_key("P-256")
    file = tmp_path / "key"
    for private in (True, False):
        text = key.as_pem(private=private).decode() if form == "pem" else json.dumps(key.as_dict(private=private))
        file.write_text(text)
        command = ("signing-key", "create", "globex", "--algorithm", "ES256", "--public-key", str(file), *where)
        if private:
            assert "send the public one" in refused(*command)
    made = told(*command)
    assert "secret" not in made
    assert made["jwk"]["x"] == key.as_dict(private=False)["x"]


def test_a_room_type_is_put_shown_listed_and_deleted(where: tuple[str, str]) -> None:
    rules = ("--history-messages", "10", "--presence", "false", "--slow-consumer", "drop_oldest")
    others = ("--presence-grace-seconds", "1.5", "--acknowledge", "replicated")
    put = told("room-type", "put", "acme", "chat:*", *rules, *others, *where)
    assert put["acknowledge"] == "replicated"
    assert (put["pattern"], put["history_messages"], put["presence"]) == ("chat:*", 10, False)
    assert (put["presence_grace_seconds"], put["slow_consumer"], put["max_members"]) == (1.5, "drop_oldest", None)
    assert told("room-type", "show", "acme", "chat:*", *where) == put
    assert told("room-type", "list", "acme", *where) == [put]
    assert told("room-type", "put", "acme", "chat:*", "--max-members", "none", *where)["history_messages"] is None
    assert printed("room-type", "delete", "acme", "chat:*", *where) == "Room type chat:* of acme is deleted.\n"
    assert told("room-type", "list", "acme", *where) == []


def test_the_audit_tells_who_changed_what_also_of_tenants_that_are_gone(where: tuple[str, str]) -> None:
    printed("tenant", "create", "watched", *where)
    printed("tenant", "set", "watched", "--limit", "max_rooms=5", *where)
    newest, *_ = told("audit", "--tenant", "watched", "--last", "1", *where)
    assert (newest["actor_kind"], newest["action"], newest["tenant"]) == ("command_line", "tenant.change", "watched")
    assert (newest["before"], newest["after"]) == ({"limits": {"max_rooms": 100_000}}, {"limits": {"max_rooms": 5}})
    printed("tenant", "delete", "watched", "--yes", *where)
    line = printed("audit", "--last", "1", "--from", "2026-01-01T00:00:00Z", *where)
    assert re.fullmatch(r"20\S+Z  watched  command_line\S*  tenant.delete  watched  \{.*\} -> null\n", line)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("tenant show nobody", "nobody"),
        ("tenant set nobody --any-origin", "nobody"),
        ("tenant set globex --limit max_romms=1", "There is no limit 'max_romms'; the limits are max_message_bytes"),
        ("tenant set globex --limit max_rooms=-1", "takes a whole number or none"),
        ("tenant suspend nobody", "nobody"),
        ("key create nobody --scope read", "nobody"),
        ("key create globex --scope read --expires-at 2020-01-01T00:00:00Z", "must lie ahead"),
        ("signing-key create globex --algorithm ES256", "needs a public key"),
        ("signing-key create globex --kid a/b", "kid"),
        ("room-type put globex a --history-messages 1001", "above the tenant's max_history_messages"),
        ("room-type show globex nothing", "nothing"),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_1(
    where: tuple[str, str], complains: Complains, arguments: str, remedy: str
) -> None:
    assert remedy.lower() in complains(1, *arguments.split(), *where).lower()


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("tenant set globex", "Give --limit, and --origin or --any-origin."),
        ("tenant set globex --origin https://a.example --any-origin", "Give --limit, and --origin or --any-origin."),
        ("key create globex", "Missing option '--scope'"),
        ("key create globex --scope admin", "'admin' is not one of"),
        ("key create globex --scope read --expires-at tomorrow", "2026-11-24T12:00:00Z"),
        ("room-type put globex a --slow-consumer wait", "This is no room type"),
        ("room-type put globex a --pattern a*b", "This is no room type"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(
    where: tuple[str, str], complains: Complains, arguments: str, remedy: str
) -> None:
    assert remedy in complains(2, *arguments.split(), *where)

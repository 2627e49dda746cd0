"""mypy --strict on programs that use a generated contract: what is right passes, what is wrong is red."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from chat_contract import CHAT, CONTRACT, PRICES, ChatSaid, ChatTypingSignal
from roomcast_client.contract import Other
from stage import PROJECT

TYPED = Path(__file__).parent / "typed"
WRONG = TYPED / "wrong.py"


def test_what_is_right_passes_and_what_is_wrong_is_red() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes"]
    command += ["--config-file=", "--no-incremental", "right.py", "wrong.py", "chat_contract.py"]
    path = {"MYPYPATH": str(TYPED.parents[1]), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, cwd=TYPED, env=path, capture_output=True, text=True, check=False)
    errors = re.findall(r"^(\w+\.py):(\d+): error: .*\[([a-z-]+)\]$", ran.stdout, re.MULTILINE)
    found = {(name, int(line), code) for name, line, code in errors}
    marked = {
        (WRONG.name, number, line.partition("# error: ")[2])
        for number, line in enumerate(WRONG.read_text().splitlines(), start=1)
        if "# error: " in line
    }
    assert found == marked, ran.stdout + ran.stderr


def test_the_module_is_what_the_generator_writes() -> None:
    command = [sys.executable, "-m", "service", "generate", "python", "--tenant", "demo"]
    command += ["--contract", str(TYPED / "contract.yaml")]
    written = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert written == (TYPED / "chat_contract.py").read_text()


def test_values_go_by_the_names_of_their_classes_and_come_back_as_them() -> None:
    name, data = CHAT.messages.encode(ChatSaid(text="x"), None)
    assert (name, bytes(data)) == ("said", b'{"text":"x"}')
    assert CHAT.messages.decode("said", data) == ChatSaid(text="x")
    assert CHAT.messages.decode("said", msgspec.Raw(b'{"text":1}')) == Other({"text": 1})
    assert CHAT.messages.decode("later", data) == Other({"text": "x"})
    assert CHAT.messages.encode(Other(1), "later") == ("later", msgspec.Raw(b"1"))
    assert PRICES.messages.encode(1.5, "price") == ("price", msgspec.Raw(b"1.5"))
    for value, given in ((1.5, "cost"), ("x", None)):
        with pytest.raises(ValueError, match="contract"):
            PRICES.messages.encode(value, given)
    with pytest.raises(TypeError, match="said is a ChatSaid"):
        CHAT.messages.encode(ChatTypingSignal(since_ms=1), "said")
    assert CONTRACT.of("chat:42") is CHAT
    assert CONTRACT.of("prices") is PRICES
    assert CONTRACT.of("other") is None

"""The stage of tests/clients, from outside: a node that faults happen to."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
from service.command_line.contract_file import read_contract

PROJECT = Path(__file__).parents[3]


class Stage:
    """Starts it; `order` has something happen, and is back when it has."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.clients.stage"]
        self._process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        first_line = msgspec.json.decode(self._process.stdout.readline(), type=dict[str, str])
        self.url = first_line["url"]
        self.api = first_line["api"]
        self.api_key = first_line["api_key"]
        self._control = first_line["control"]

    async def order(self, order: str, /, **options: Any) -> Any:
        async with httpx.AsyncClient(base_url=self._control, timeout=60) as control:
            answer = await control.post(f"/{order}", json=options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def token(self, user: str = "alice", **claims: Any) -> str:
        """A token with all rights."""
        return str((await self.order("token", user=user, **claims))["token"])

    async def contract(self, file: Path) -> None:
        """Have the tenant's contract be what a file says, as `roomcast contract apply` reads it."""
        contract = msgspec.to_builtins(read_contract(file))
        answer = await self.order("contract", room_types=contract["room_types"])
        assert answer["status"] == 200, answer

    def stop(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)

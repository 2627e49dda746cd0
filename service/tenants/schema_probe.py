"""Schemas of strangers are looked at and compiled in a process of their own, in a time box, before they are in force.

Nothing can end a compilation from within, and 32 KiB of patterns took 1.6 s. What took longer here than a node may
give to it is refused; nodes compile the rest, each schema when its first message comes.
"""

import asyncio
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from service.protocol.errors import Invalid, RoomcastError, TooLarge
from service.tenants.schemas import check_schema, compile_schema

# Of processor time: one schema, for which a node's loop stands still; and all of a contract.
COMPILE_SECONDS: Final = 0.02
CPU_SECONDS: Final = 10
WALL_SECONDS: Final = 60
MEMORY_BYTES: Final = 1024 * 1024 * 1024


class Verdict(msgspec.Struct):
    """What is wrong with the first schema that can't be; nothing, if all can. allowed_bytes: of `limit`."""

    message: str = ""
    path: str = "$"
    limit: str = ""
    allowed_bytes: int = 0


async def probe(schemas: Mapping[str, dict[str, Any]]) -> None:
    """Look at schemas, by the path at which each stands. Raises Invalid or TooLarge for the first that can't be."""
    if not schemas:
        return
    try:
        question = msgspec.json.encode(schemas)
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, RecursionError, ValueError, TypeError):
        raise Invalid("the schemas are no JSON") from None
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(WALL_SECONDS):
            answer, _ = await child.communicate(question)
    except TimeoutError:
        answer = b""
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise Invalid(f"the schemas take over {CPU_SECONDS} s to compile, or too much memory")
    verdict = msgspec.json.decode(answer, type=Verdict)
    if verdict.limit:
        raise TooLarge(verdict.limit, verdict.allowed_bytes, scope="contract", path=verdict.path)
    if verdict.message:
        raise Invalid(verdict.message, verdict.path)


def judge(schemas: Mapping[str, dict[str, Any]]) -> Verdict:
    """All looked at and compiled, here and now."""
    try:
        for path, schema in schemas.items():
            check_schema(schema, path)
            if min(_compile_seconds(schema, path) for _ in range(2)) > COMPILE_SECONDS:
                return Verdict("the schema takes too long to compile: simplify its patterns", path)
    except TooLarge as error:
        return Verdict(error.message, error.path or "$", error.limit or "", error.allowed_bytes)
    except RoomcastError as error:
        return Verdict(error.message, error.path or "$")
    return Verdict()


def _compile_seconds(schema: dict[str, Any], path: str) -> float:
    started = time.process_time()
    compile_schema(schema, path)
    return time.process_time() - started


def _main() -> None:
    with suppress(ValueError, OSError):  # not everywhere, and not above what is set already
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    schemas = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, dict[str, Any]])
    sys.stdout.buffer.write(msgspec.json.encode(judge(schemas)))


if __name__ == "__main__":
    _main()

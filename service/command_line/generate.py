"""`roomcast generate`: a tenant's contract as types of a language."""

from collections.abc import Callable
from typing import Final

import rich_click as click

from service.command_line.contract_source import contract_source, find_contract, write_text
from service.documents.python import write_python
from service.documents.typescript import write_typescript
from service.tenants.contract import Contract

_TITLES: Final = {"typescript": "TypeScript", "python": "Python"}
_LANGUAGES: Final[dict[str, Callable[[str, Contract], str]]] = {
    "typescript": write_typescript,
    "python": write_python,
}


@click.group()
def generate() -> None:
    """Types of a tenant's contract, for its clients."""


def _add(language: str, write: Callable[[str, Contract], str]) -> None:
    @generate.command(language, help=f"Write the contract's types in {_TITLES[language]}.")
    @contract_source
    def command(tenant: str | None, path: str | None, output: str | None, **texts: str | None) -> None:
        name, contract = find_contract(tenant, path, texts)
        write_text(write(name, contract), output)


for _language, _write in _LANGUAGES.items():
    _add(_language, _write)

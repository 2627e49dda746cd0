"""`roomcast contract openapi` and `asyncapi`: a tenant's documents, without a node."""

from typing import Final

import rich_click as click

from service.app import create_app
from service.command_line.contract_source import contract_source, find_contract, write_text
from service.command_line.options import option, settings_of
from service.documents.of_contracts import Documents

_FORMS: Final = ("3.1", "3.0")


@click.command()
@option(
    "--form", type=click.Choice(_FORMS), default="3.1", envvar="ROOMCAST_FORM", help="3.0 for generators that need it."
)
@contract_source
def openapi(form: str, tenant: str | None, path: str | None, output: str | None, **texts: str | None) -> None:
    """Write the OpenAPI document of what the tenant's servers may ask."""
    name, contract = find_contract(tenant, path, texts)
    document = _documents(texts).openapi(name, contract, in_3_0=form == "3.0")
    write_text(f"{document.decode()}\n", output)


@click.command()
@contract_source
def asyncapi(tenant: str | None, path: str | None, output: str | None, **texts: str | None) -> None:
    """Write the AsyncAPI document of what the clients of the tenant's users send and get."""
    name, contract = find_contract(tenant, path, texts)
    write_text(f"{_documents(texts).asyncapi(name, contract).decode()}\n", output)


def _documents(texts: dict[str, str | None]) -> Documents:
    documents: Documents = create_app(settings_of(texts)).state.documents
    return documents

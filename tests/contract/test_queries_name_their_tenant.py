"""Our own lint rule: a query in `service/tenants` filters by tenant, or is on the short list below with its reason.

The mistake that it finds is the one that leaks tenants: a look-up by a name or key id alone finds another one's row.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TENANTS = Path(__file__).parents[2] / "service" / "tenants"

ACROSS_TENANTS = {
    "storage.Storage._check": "the database's own facts",
    "storage.Storage._keep_sealing_check": "the database's own facts",
    "storage.Storage._snapshot": "a tenant by its name or id, which its callers give",
    "stored_tenants.Tenants.page": "the operator's list of all tenants",
    "stored_tenants.Tenants.read": "a tenant by its name",
    "stored_tenants.Tenants.delete": "a tenant by its name",
    "deletions.Deletions.pending": "all deletions, for the node that removes what is left",
    "deletions.Deletions.find": "a deletion by its tenant's name",
    "audit_log.AuditLog.page": "the operator's list of everything; a tenant's is filtered in the next line",
    "transactions.Transactions._prune_audit": "retention, which is the same for all",
    "usage.UsageStorage.fold": "retention, which is the same for all",
    "usage.UsageStorage._remove": "retention, or a tenant's rows: its two callers say which",
    "redis_mark.RedisMark.read": "the database's own facts",
    "database._migrate": "a lock, no rows",
}

_STATEMENTS = {"select", "update", "delete", "text", "union"}
_BY_KEY = {"get", "get_one", "get_many"}


def unfiltered(source: str, module: str) -> set[str]:
    """The functions, as module.Class.function, with a query that does not say whose rows it is after."""
    functions = dict(_functions(ast.parse(source), module))
    filters = {name.rpartition(".")[2] for name, function in functions.items() if _gives_a_filter(function)}
    return {name for name, function in functions.items() if not _names_tenants(function, filters)}


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}.{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}.{node.name}")


def _gives_a_filter(function: ast.AST) -> bool:
    returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    return any(_is_filter(part) for node in returns for part in _parts(node)) and not any(
        _is_query(part) for node in returns for part in _parts(node)
    )


def _names_tenants(function: ast.AST, known_filters: set[str]) -> bool:
    """Whether each statement with a query in it holds the filter, or a name that stands for one."""
    filters = set(known_filters)
    for statement in ast.walk(function):
        if not isinstance(statement, ast.stmt) or statement is function:
            continue
        parts = list(_parts(statement))
        is_filtered = any(_is_filter(part) or (isinstance(part, ast.Name) and part.id in filters) for part in parts)
        if isinstance(statement, ast.Assign) and is_filtered:
            filters |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
        if any(map(_is_query, parts)) and not is_filtered:
            return False
    return True


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """All that belongs to a statement, without the statements within it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield child
            yield from _parts(child)


def _is_query(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id in _STATEMENTS
    return (
        isinstance(node.func, ast.Attribute)
        and node.func.attr in _BY_KEY
        and ast.unparse(node.func.value).endswith("session")
    )


def _is_filter(node: ast.AST) -> bool:
    """`Row.tenant_id == …`, `TenantRow.id == …`, or either with `.in_(…)`."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
        return _is_tenant_id(node.left)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "in_"
        and _is_tenant_id(node.func.value)
    )


def _is_tenant_id(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and (node.attr == "tenant_id" or ast.unparse(node) == "TenantRow.id")


def test_every_query_names_its_tenant_or_is_known_to_go_across_tenants() -> None:
    found = {name for path in TENANTS.glob("*.py") for name in unfiltered(path.read_text(), path.stem)}
    assert found == set(ACROSS_TENANTS)


@pytest.mark.parametrize(
    "body",
    [
        "select(ApiKeyRow).where(ApiKeyRow.key_id == key_id)",
        "update(ApiKeyRow).values(name=name)",
        "await session.get(ApiKeyRow, key_id)",
        "select(ApiKeyRow).where(ApiKeyRow.key_id > tenant_id)",
        "if await session.scalar(select(ApiKeyRow).where(ApiKeyRow.key_id == key_id)): pass",
        "mine = ApiKeyRow.tenant_id == tenant_id; select(ApiKeyRow).where(ApiKeyRow.key_id == key_id)",
        "select(RoomTypeRow).where(RoomTypeRow.tenant_id != tenant_id)",
    ],
)
def test_the_rule_finds_a_query_that_any_tenant_s_row_may_answer(body: str) -> None:
    assert unfiltered(f"class Keys:\n    async def find(self, key_id):\n        {body}\n", "keys") == {"keys.Keys.find"}


@pytest.mark.parametrize(
    "body",
    [
        "select(ApiKeyRow).where(ApiKeyRow.tenant_id == tenant_id, ApiKeyRow.key_id == key_id)",
        "mine = (ApiKeyRow.tenant_id == tenant_id) & (ApiKeyRow.key_id == key_id); select(ApiKeyRow).where(mine)",
        "select(TenantRow).where(TenantRow.id == tenant_id)",
        "delete(ApiKeyRow).where(ApiKeyRow.tenant_id.in_(ids))",
        "where = _mine(tenant_id); select(ApiKeyRow).where(*where)",
        "limits.get(ApiKeyRow)",
    ],
)
def test_the_rule_lets_a_query_of_one_tenant_be(body: str) -> None:
    given = "def _mine(tenant_id):\n    return ApiKeyRow.tenant_id == tenant_id, True\n"
    assert unfiltered(f"{given}async def find(key_id):\n    {body}\n", "keys") == set()

"""PROTOCOL.md's table of limits against `Limits`: the same names, the same defaults."""

import re

import msgspec

from service.settings import Settings
from service.tenants.limits import Limits
from tests.contract.tables import Row, number, quoted, table

ROWS = table("Limits in force")
OF_THE_NODE = "connects_per_second_per_address"


def names(row: Row) -> list[str]:
    return quoted(row["limit"])


def test_each_limit_of_the_table_is_one_of_a_tenant_or_of_the_node() -> None:
    assert [name for row in ROWS for name in names(row) if name != OF_THE_NODE] == list(Limits.__struct_fields__)


def test_each_limit_has_the_default_of_the_table() -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(Limits)}
    for row in ROWS:
        if names(row) in ([OF_THE_NODE], ["max_frame_bytes"]):
            continue
        said = re.sub(r"\(.*", "", row["default"]).split("; ")
        for name, default in zip(names(row), said, strict=False):
            assert defaults[name] == number(default)


def test_the_limit_of_the_node_has_the_default_of_the_table() -> None:
    (row,) = (row for row in ROWS if names(row) == [OF_THE_NODE])
    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    assert defaults[OF_THE_NODE] == number(row["default"])


def test_a_frame_may_be_as_much_larger_than_a_message_as_the_table_says() -> None:
    (row,) = (row for row in ROWS if names(row) == ["max_frame_bytes"])
    around = number(row["default"].partition(" + ")[2])
    assert Limits().frame_bytes == 65_536 + around
    assert Limits(max_message_bytes=100).frame_bytes == 100 + around
    assert Limits(max_frame_bytes=50).frame_bytes == 50
    assert Limits(max_frame_bytes=None).frame_bytes is None

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.cursors import read_cursor, write_cursor
from service.protocol.errors import Invalid

names = st.text(min_size=1, max_size=100)


@given(after=names, query=st.text(max_size=50))
def test_a_cursor_leads_to_where_it_was_made(after: str, query: str) -> None:
    assert read_cursor("t1", query, write_cursor("t1", query, after)) == after


@given(after=names)
def test_a_cursor_of_another_tenant_or_query_is_refused(after: str) -> None:
    cursor = write_cursor("t1", "rooms\0chat", after)
    for tenant, query in (("t2", "rooms\0chat"), ("t1", "rooms\0"), ("t1", "connections")):
        with pytest.raises(Invalid) as refused:
            read_cursor(tenant, query, cursor)
        assert refused.value.path == "$.cursor"


@given(cursor=st.one_of(st.text(max_size=600), st.from_regex(r"[A-Za-z0-9_=-]{0,600}", fullmatch=True)))
def test_a_cursor_that_was_made_up_is_invalid_and_nothing_else(cursor: str) -> None:
    with pytest.raises(Invalid):
        read_cursor("t1", "rooms", cursor)


def test_a_cursor_is_read_to_the_letter() -> None:
    cursor = write_cursor("t1", "rooms", "chat")
    for altered in (cursor + "=", cursor + "\n", cursor[:-1], cursor + "A", f" {cursor}"):
        with pytest.raises(Invalid):
            read_cursor("t1", "rooms", altered)


def test_a_cursor_fits_a_query_even_for_the_longest_room() -> None:
    assert len(write_cursor("t1", "rooms", "x" * 200)) < 300

"""The instant at which storage believes to be."""

import pytest

from service.tenants import deletions, revocations, rows, storage, stored_contracts, stored_keys, stored_tenants
from service.tenants import transactions as transactions_module

_MODULES = (deletions, revocations, rows, storage, stored_contracts, stored_keys, stored_tenants, transactions_module)


class Clock:
    """Moved by the test; Unix milliseconds."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_ms = rows.unix_time_ms()
        for module in _MODULES:
            patch.setattr(module, "unix_time_ms", lambda: self.now_ms)

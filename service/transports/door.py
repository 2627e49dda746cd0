"""What the node knows of those who knock: their address, how often they came, and the rules of their sockets."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from service.protocol.errors import RateLimited
from service.tenants.limits import Appointments, TokenBucket
from service.tenants.snapshot import TenantSnapshot
from service.transports.gate import Gate
from service.transports.intake import Intake, Turns
from service.transports.outbox import Turn
from service.transports.socket_rules import SocketRules
from service.transports.subprotocols import Headers, values_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses remembered at a time; the longest unseen is forgotten, and has a full bucket when it comes back.
ADDRESSES_REMEMBERED: Final = 100_000
# A tenant without max_frame_bytes still can't make a node hold more than this for one message.
FRAME_CEILING_BYTES: Final = 2**30
# One household or host has a /64 of IPv6 to itself (RFC 6177): its addresses share one bucket.
IPV6_PREFIX_BITS: Final = 64


class AddressBucket(TokenBucket):
    """How often one address may still connect, and when those whom it turned away come again."""

    __slots__ = ("appointments",)

    def __init__(self, rate_per_second: int, now: float) -> None:
        super().__init__(rate_per_second, rate_per_second, now)
        self.appointments = Appointments()


class Door:
    """One node's door."""

    def __init__(
        self,
        turn: Turn,
        *,
        trusted_proxies: Sequence[Network],
        connects_per_second_per_address: int | None,
        ping_interval_seconds: float,
        pong_timeout_seconds: float,
        outbox_max_bytes: int,
    ) -> None:
        self.turn = turn
        self.ping_interval_seconds = ping_interval_seconds
        self.outbox_max_bytes = outbox_max_bytes
        self._pong_timeout_seconds = pong_timeout_seconds
        self._trusted_proxies = tuple(trusted_proxies)
        self._rate = connects_per_second_per_address
        self._buckets: OrderedDict[str, AddressBucket] = OrderedDict()
        self._rules: dict[str, SocketRules] = {}
        self._intakes = Turns()
        self.gate = Gate()
        self.refusal_rules = self._new_rules()

    def _new_rules(self) -> SocketRules:
        return SocketRules(
            ping_interval_seconds=self.ping_interval_seconds,
            pong_timeout_seconds=self._pong_timeout_seconds,
            outbox_max_bytes=self.outbox_max_bytes,
            intake=Intake(self._intakes),
        )

    def rules(self, tenant: TenantSnapshot) -> SocketRules:
        """The rules of a tenant's sockets: one object for them all, brought up to date."""
        rules = self._rules.get(tenant.id)
        if rules is None:
            rules = self._rules[tenant.id] = self._new_rules()
        rules.max_frame_bytes = tenant.limits.frame_bytes or FRAME_CEILING_BYTES
        return rules

    def client_address(self, peer: str, headers: Headers) -> str:
        """Who is at the other end: the peer or, behind proxies that are trusted, whom they name.

        `X-Forwarded-For` is read from its end, past the trusted ones: what stands before is the client's own claim.
        """
        address = peer
        if not self._trusted_proxies:
            return address
        named = ",".join(values_of(headers, b"x-forwarded-for")).split(",")
        while self._is_trusted(address) and named:
            before = named.pop().strip()
            if _parse(before) is None:
                break
            address = before
        return address

    def source_of(self, peer: str, headers: Headers) -> str:
        """What counts as one client's address, where addresses are counted."""
        return _source(self.client_address(peer, headers))

    def _is_trusted(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._trusted_proxies)

    def take_connect(self, address: str) -> None:
        """One connect from this address, before anything else costs. Raises RateLimited."""
        if self._rate is None:
            return
        now = time.monotonic()
        source = _source(address)
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = AddressBucket(self._rate, now)
            if len(self._buckets) > ADDRESSES_REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(source)
        if bucket.take(1, now):
            wait_ms = bucket.appointments.make(self._rate, now)
            raise RateLimited("connects_per_second_per_address", "address", wait_ms)


def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _source(address: str) -> str:
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX_BITS), strict=False))
    return address if parsed is None else str(parsed)

"""A Valkey Cluster whose servers can be cut off, from each other and from everybody, as by a broken network."""

from collections.abc import Callable
from pathlib import Path

from tests.support.forwarder import Forwarder
from tests.support.valkey_cluster import BUS_OFFSET, HOST, SERVERS, ValkeyCluster


class CutCluster(ValkeyCluster):
    """Everybody reaches a server through its two forwarders, for clients and for the bus, and knows it by their ports;
    the servers' own connections come from addresses of their own. `clients` lead to the servers themselves.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._own_ports = self.ports
        shown = ValkeyCluster(folder)
        self.ports, self.url = shown.ports, shown.url
        self._cut_off: set[int] = set()
        self._forwarders = [
            Forwarder(self.ports[server] + offset, self._own_ports[server] + offset, self._is_cut(server))
            for server in range(SERVERS)
            for offset in (0, BUS_OFFSET)
        ]

    def start(self) -> None:
        """As there."""
        for forwarder in self._forwarders:
            forwarder.start()
        super().start()

    def stop(self) -> None:
        """As there."""
        self._cut_off.clear()
        super().stop()
        for forwarder in self._forwarders:
            forwarder.stop()

    def cut_off(self, server: int) -> None:
        """Nothing reaches it and nothing of it reaches another server; it goes on by itself."""
        self._cut_off.add(server)

    def reconnect(self, server: int) -> None:
        """The end of `cut_off`: what waited is delivered."""
        self._cut_off.discard(server)

    def _is_cut(self, server: int) -> Callable[[str], bool]:
        def is_cut(source: str) -> bool:
            return server in self._cut_off or any(source == _address_of(other) for other in self._cut_off)

        return is_cut

    def _spawn(self, server: int) -> None:
        shown, own = self.ports[server], self._own_ports[server]
        options = {"port": own, "cluster-port": own + BUS_OFFSET, "bind-source-addr": _address_of(server)}
        options |= {"cluster-announce-ip": HOST, "cluster-announce-port": shown}
        options |= {"cluster-announce-bus-port": shown + BUS_OFFSET}
        self._options = tuple(str(word) for name, value in options.items() for word in (f"--{name}", value))
        super()._spawn(server)


def _address_of(server: int) -> str:
    return f"127.0.0.{21 + server}"

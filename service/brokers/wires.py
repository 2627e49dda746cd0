"""What a node's connections to Redis are made of: for one primary, or for a Cluster."""

from collections.abc import Callable
from typing import NamedTuple

from service.brokers.cluster_channels import ClusterChannels
from service.brokers.cluster_link import ClusterLink
from service.brokers.cluster_replication import ClusterReplication
from service.brokers.cluster_topology import ClusterEndpoint
from service.brokers.endpoint import Endpoint, make_endpoint, readable
from service.brokers.greeting import Policy
from service.brokers.heads import Heads
from service.brokers.keys import Keyspace
from service.brokers.link import Link
from service.brokers.listener import Channels
from service.brokers.replication import Replication


class Wires(NamedTuple):
    """What the rest of the broker works with. look: see `Heads.look`."""

    link: Link
    channels: Channels | ClusterChannels
    replication: Replication | ClusterReplication
    look: Callable[[], None]
    endpoint: Endpoint


def is_cluster(url: str) -> bool:
    """Whether a URL means a Cluster."""
    return url.startswith("redis+cluster://")


def lay_wires(url: str, node: str, policy: Policy, lost: Callable[[], None]) -> Wires:
    """One primary, which may change: `make_endpoint` says from which URLs. Raises Unsuitable for other ones."""
    endpoint = make_endpoint(url, node)
    link = Link(endpoint, node, lost, policy)
    channels = Channels(endpoint, _control(link.keyspace, node), lost, link)
    return Wires(link, channels, Replication(endpoint, policy, link), Heads(link, channels).look, endpoint)


def lay_cluster_wires(url: str, node: str, policy: Policy, lost: Callable[[], None]) -> Wires:
    """The primaries of a Cluster: see `ClusterEndpoint`. Raises Unsuitable for a URL that can't be read."""
    with readable():
        cluster = ClusterEndpoint(url, node)
    link = ClusterLink(cluster, node, lost, policy)
    channels = ClusterChannels(_control(link.keyspace, node), lost, link)
    return Wires(link, channels, ClusterReplication(policy, link), channels.look, link.endpoint)


def _control(keyspace: Keyspace, node: str) -> tuple[bytes, bytes]:
    return keyspace.all_nodes, keyspace.node_prefix + node.encode()

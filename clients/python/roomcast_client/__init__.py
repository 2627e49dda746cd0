"""Roomcast from Python: `Client` for users' connections, `Server` and `SyncServer` for the REST API."""

from roomcast_client.client import Client, Status
from roomcast_client.contract import Contract, Other, RoomContract
from roomcast_client.errors import ClientClosed, OutcomeUnknown, QueueFull, RoomcastError
from roomcast_client.events import (
    Direct,
    Gap,
    HistoryEvent,
    HistoryItem,
    Left,
    Member,
    MembersEvent,
    Message,
    Occupancy,
    OccupancyEvent,
    Presence,
    Published,
    RoomEvent,
    Sender,
    SignalEvent,
    Welcome,
)
from roomcast_client.members import MemberList
from roomcast_client.resources import batch_message
from roomcast_client.returning import Backoff
from roomcast_client.room import Room
from roomcast_client.server import Server
from roomcast_client.sync_server import SyncServer

__all__ = [
    "Backoff",
    "Client",
    "ClientClosed",
    "Contract",
    "Direct",
    "Gap",
    "HistoryEvent",
    "HistoryItem",
    "Left",
    "Member",
    "MemberList",
    "MembersEvent",
    "Message",
    "Occupancy",
    "OccupancyEvent",
    "Other",
    "OutcomeUnknown",
    "Presence",
    "Published",
    "QueueFull",
    "Room",
    "RoomContract",
    "RoomEvent",
    "RoomcastError",
    "Sender",
    "Server",
    "SignalEvent",
    "Status",
    "SyncServer",
    "Welcome",
    "batch_message",
]

"""All peers, by what they are."""

from benchmarks.peers import centrifuge, django_channels, fastapi, litestar, nats, nchan, socketio_node, socketio_python

CENTRIFUGE = (centrifuge.MEMORY, centrifuge.REDIS, centrifuge.HISTORY, centrifuge.TUNED)
PYTHON_AND_NODE = (
    *(litestar.START, litestar.FAST),
    *(fastapi.START, fastapi.FAST),
    *(django_channels.START, django_channels.FAST),
    *(socketio_python.MEMORY, socketio_python.START, socketio_python.FAST),
    *(socketio_node.MEMORY, socketio_node.MEMORY_FAST, socketio_node.START, socketio_node.FAST),
)
C_AND_GO = (nchan.START, nchan.FAST, nats.START, nats.FAST)
EVERY = (*CENTRIFUGE, centrifuge.TOKENS, *PYTHON_AND_NODE, *C_AND_GO)

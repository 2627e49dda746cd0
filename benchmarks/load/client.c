// Clients from dialling to ready, and the loop that reads from all of them.
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS_AN_ADDRESS = 20000, EVENTS = 512, HEADERS_BYTES = 8192 };

int epoll_fd;
Client *clients, publisher;
long ready, closed, delivered;
Histogram latency, ready_latency;

int room_of(const Client *client) { return client->index % options.rooms; }

// From 127.0.0.1, 127.0.0.2 and so on, since one address has less than 28,000 free ports.
static int dial(int index) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    if (fd < 0) fail("socket", strerror(errno));
    inet_pton(AF_INET, options.host, &to.sin_addr);
    if (index >= SOCKETS_AN_ADDRESS) {
        from.sin_addr.s_addr = htonl((127u << 24) + 1 + index / SOCKETS_AN_ADDRESS);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(fd, (void *)&from, sizeof from)) fail("bind", strerror(errno));
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (void *)&to, sizeof to) && errno != EINPROGRESS) fail("connect", strerror(errno));
    return fd;
}

void begin_client(Client *client) {
    client->fd = dial(client->index);
    client->state = HANDSHAKE;
    client->frames_sent = client->joined = client->carried = 0;
    client->begun_ns = now_ns();
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = client};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event);
}

// The client's own header: a line of the file of tokens.
static const char *own_header(int index) {
    static char **lines;
    static int count;
    if (!options.token_file) return NULL;
    if (!lines) {
        FILE *file = fopen(options.token_file, "r");
        char line[HEADERS_BYTES];
        if (!file) fail("tokens", strerror(errno));
        while (fgets(line, sizeof line, file)) {
            line[strcspn(line, "\r\n")] = 0;
            lines = realloc(lines, (count + 1) * sizeof *lines);
            lines[count++] = strdup(line);
        }
        fclose(file);
    }
    return lines[index % count];
}

static void send_handshake(Client *client) {
    char request[4 * HEADERS_BYTES], path[512];
    const char *own = own_header(client->index);
    const char *wanted = client == &publisher && options.publisher_path ? options.publisher_path : options.path;
    put_template(path, wanted, client, room_of(client), "", 0);
    int length = sprintf(request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                         path, options.host, options.port);
    for (int i = 0; i < options.header_count; i++) length += sprintf(request + length, "%s\r\n", options.headers[i]);
    if (own) length += sprintf(request + length, "%s\r\n", own);
    length += sprintf(request + length, "\r\n");
    if (write(client->fd, request, length) != length) fail("handshake", strerror(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

void poll_clients(int timeout_ms) {
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
    for (int i = 0; i < count; i++) {
        Client *client = events[i].data.ptr;
        if (events[i].events & EPOLLOUT) send_handshake(client);
        else take_bytes(client);
    }
}

void wait_ms(int milliseconds) {
    for (uint64_t end = now_ns() + milliseconds * 1000000ull; now_ns() < end;) poll_clients(10);
}

// All of them, so many under way at once and so many a second, until each is ready.
void connect_all(bool is_again) {
    uint64_t begun = now_ns();
    int started = 0;
    ready = 0;
    while (ready < options.sockets) {
        double seconds = (now_ns() - begun) / 1e9;
        while (started < options.sockets && started - ready < options.at_once &&
               (!options.connects_per_second || started < seconds * options.connects_per_second)) {
            clients[started].is_again = is_again;
            begin_client(&clients[started++]);
        }
        poll_clients(1);
        if (seconds > options.timeout_seconds) fail("connect", "not all clients were ready in time");
        if (closed) fail("connect", "the server closed a client");
    }
}

void connect_publisher(void) {
    long before = ready;
    publisher.index = options.sockets;
    begin_client(&publisher);
    for (uint64_t begun = now_ns(); publisher.state != READY;) {
        poll_clients(10);
        if (now_ns() - begun > 5000000000ull) fail("publisher", "its handshake was not answered");
    }
    ready = before;
}

// All clients but the publisher are gone at once, without a close frame.
void drop_all(void) {
    for (int i = 0; i < options.sockets; i++) {
        close(clients[i].fd);
        clients[i].fd = -1;
        clients[i].state = CLOSED;
    }
}

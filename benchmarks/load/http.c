// Requests a second: so many connections that stay, each with one request under way.
#include "load.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { ANSWER_BYTES = 1 << 16 };
static char request[ANSWER_BYTES];
static long sent, answered;

static void ask(Client *client) {
    if (sent >= options.messages) return;
    int length = put_template(request, options.request, client, (int)(sent++ % options.rooms), "", 0);
    if (write(client->fd, request, length) != length) fail("request", strerror(errno));
    client->begun_ns = now_ns();
}

// Whether the whole answer is in the buffer: head, and as much as its Content-Length says.
static bool is_whole(char *answer, ssize_t length) {
    answer[length] = 0;
    char *body = strstr(answer, "\r\n\r\n"), *says = strcasestr(answer, "content-length:");
    if (strncmp(answer, "HTTP/1.1 2", 10)) fail("request", answer);
    return body && says && answer + length - body - 4 >= atol(says + 15);
}

static void take_answer(Client *client) {
    static char answer[ANSWER_BYTES + 1];
    ssize_t length = 0;
    while (!length || !is_whole(answer, length)) {
        ssize_t taken = read(client->fd, answer + length, ANSWER_BYTES - length);
        if (taken < 0 && errno == EAGAIN && length) continue;  // the rest is on its way
        if (taken < 0 && errno == EAGAIN) return;
        if (taken <= 0) fail("request", "the server closed a connection");
        length += taken;
    }
    answered++;
    histogram_add(&latency, (now_ns() - client->begun_ns) / 1000);
    ask(client);
}

void request_all(void) {
    struct epoll_event events[64], event = {.events = EPOLLIN};
    for (int i = 0; i < options.sockets; i++) {
        begin_client(&clients[i]);
        event.data.ptr = &clients[i];
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, clients[i].fd, &event);
    }
    usleep(200000);
    Reading before = begin_reading();
    for (int i = 0; i < options.sockets; i++) ask(&clients[i]);
    while (answered < options.messages) {
        if (now_ns() - before.begun_ns > options.timeout_seconds * 1e9) break;
        int count = epoll_wait(epoll_fd, events, 64, 100);
        for (int i = 0; i < count; i++) take_answer(events[i].data.ptr);
    }
    report_phase("requests", &before, now_ns(), answered, &latency);
}

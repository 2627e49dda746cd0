// What a client hears: the answer to its handshake, what it waits for, and the markers of messages.
#include "load.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { MARKER_BYTES = 19, BUFFER_BYTES = 1 << 18 };  // "@T", 16 hex digits of ns, "@"

static void become_ready(Client *client) {
    client->state = READY;
    ready++;
    histogram_add(&ready_latency, (now_ns() - client->begun_ns) / 1000);
}

static void hear_epoch(Client *client, const char *heard, size_t length) {
    if (!options.epoch_after || client->is_again) return;
    size_t size = strlen(options.epoch_after);
    const char *found = memmem(heard, length, options.epoch_after, size);
    if (!found) return;
    size_t end = 0;
    for (found += size; end < EPOCH_BYTES - 1 && !strchr(":\"", found[end]); end++) client->epoch[end] = found[end];
    client->epoch[end] = 0;
}

// Whether the last of its rooms has answered. What is cut off at the end is heard again, so no text is heard twice.
static bool has_joined_all(Client *client, const char *heard, size_t length) {
    size_t size = strlen(options.ready_text);
    const char *end = heard + length;
    while ((heard = memmem(heard, end - heard, options.ready_text, size))) heard += size, client->joined++;
    return client->joined >= options.joins;
}

static void send_frame(Client *client, const char *frame, bool is_last) {
    int more = is_last && client != &publisher ? options.joins : 1;
    for (int i = 0; i < more; i++) send_template(client, frame, room_of(client) + i * options.sockets, "", 0);
}

// Send the frames whose turn has come: "text>>frame" waits until the text was heard, others follow at once.
static void advance(Client *client, const char *heard, size_t length) {
    bool is_publisher = client == &publisher;
    const char **frames = is_publisher ? options.greeting : client->is_again ? options.again : options.subscribe;
    int count = is_publisher          ? options.greeting_count
                : client->is_again ? options.again_count
                                   : options.subscribe_count;
    bool watches = !is_publisher && options.watch && client->index < options.watchers;
    for (; client->frames_sent < count; client->frames_sent++) {
        const char *frame = frames[client->frames_sent], *arrow = strstr(frame, ">>");
        if (watches && client->frames_sent == count - 1) frame = options.watch, arrow = NULL;
        if (arrow && !memmem(heard, length, frame, arrow - frame)) return;
        send_frame(client, arrow ? arrow + 2 : frame, client->frames_sent == count - 1);
    }
    hear_epoch(client, heard, length);
    if (is_publisher || !options.ready_text || has_joined_all(client, heard, length)) become_ready(client);
}

static uint64_t marker_stamp(const char *marker) {
    uint64_t stamp = 0;
    for (int i = 2; i < MARKER_BYTES - 1; i++) stamp = stamp * 16 + (marker[i] <= '9' ? marker[i] - '0' : marker[i] - 'a' + 10);
    return stamp;
}

// Count the markers; one that is cut off at the end stays for the next read.
static void count_markers(Client *client, const char *begin, const char *end) {
    uint64_t now = now_ns();
    const char *found = begin;
    while ((found = memmem(found, end - found, "@T", 2)) && end - found >= MARKER_BYTES) {
        if (found[MARKER_BYTES - 1] == '@') {
            uint64_t stamp = marker_stamp(found);
            delivered++;
            histogram_add(&latency, now > stamp ? (now - stamp) / 1000 : 0);
            found += MARKER_BYTES;
        } else {
            found += 2;
        }
    }
    if (!found && end > begin && end[-1] == '@') found = end - 1;
    client->carried = found ? end - found : 0;
    if (found) memcpy(client->carry, found, client->carried);
}

// So much that a text that is cut off can be heard with the next read, and none that was heard whole.
static void keep_tail(Client *client, const char *begin, const char *end) {
    long size = options.ready_text ? strlen(options.ready_text) - 1 : 0;
    client->carried = end - begin < size ? end - begin : size;
    memcpy(client->carry, end - client->carried, client->carried);
}

static void hear(Client *client, char *begin, char *end) {
    if (getenv("LOAD_SHOWS")) fprintf(stderr, "%d< %.*s\n", client->index, end - begin > 400 ? 400 : (int)(end - begin), begin);
    if (client->state == HANDSHAKE) {
        char *body = memmem(begin, end - begin, "\r\n\r\n", 4);
        *end = 0;
        if (!body || !strstr(begin, " 101 ")) fail("handshake", begin);
        client->state = GREETING;
        begin = body + 4;
    }
    if (client->state == GREETING) advance(client, begin, end - begin);
    if (client->state == READY && client != &publisher) count_markers(client, begin, end);
    if (client->state == GREETING) keep_tail(client, begin, end);
}

static void end_client(Client *client) {
    if (client->state != CLOSED) closed++;
    client->state = CLOSED;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
}

void take_bytes(Client *client) {
    static char buffer[CARRY_BYTES + BUFFER_BYTES + 1];
    for (;;) {
        ssize_t taken = read(client->fd, buffer + CARRY_BYTES, BUFFER_BYTES);
        if (taken <= 0) {
            if (taken == 0 || errno != EAGAIN) end_client(client);
            return;
        }
        char *begin = buffer + CARRY_BYTES - client->carried;
        memcpy(begin, client->carry, client->carried);
        hear(client, begin, buffer + CARRY_BYTES + taken);
        if (taken < BUFFER_BYTES) return;
    }
}

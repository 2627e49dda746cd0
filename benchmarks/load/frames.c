// Frames to the server, from templates: {room}, {socket}, {epoch}, {offset}, {payload}, {length}, and \r \n.
#include "load.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static char text[1 << 18];
static unsigned char frame[1 << 18];

// A marker by which a delivery and its latency are found again, and then x's.
void make_payload(char *payload, int bytes, uint64_t stamp_ns) {
    int marker = sprintf(payload, "@T%016lx@", (unsigned long)stamp_ns);
    if (bytes > marker) memset(payload + marker, 'x', bytes - marker);
    payload[bytes > marker ? bytes : marker] = 0;
}

static size_t put_number(char *out, long number) { return sprintf(out, "%ld", number); }

static size_t put_name(char *out, const char *name, const Client *client, int room, const char *payload, int bytes) {
    if (!strncmp(name, "room}", 5)) return put_number(out, room);
    if (!strncmp(name, "socket}", 7)) return put_number(out, client->index);
    if (!strncmp(name, "offset}", 7)) return put_number(out, options.messages / options.rooms);
    if (!strncmp(name, "length}", 7)) return put_number(out, bytes);
    if (!strncmp(name, "epoch}", 6)) return strlen(strcpy(out, client->epoch));
    if (!strncmp(name, "payload}", 8)) return strlen(strcpy(out, payload));
    return 0;
}

// Returns the length of what was put.
int put_template(char *begin, const char *from, const Client *client, int room, const char *payload, int bytes) {
    char *out = begin;
    while (*from) {
        size_t put = *from == '{' ? put_name(out, from + 1, client, room, payload, bytes) : 0;
        if (put) {
            out += put;
            from = strchr(from, '}') + 1;
        } else if (*from == '\\' && (from[1] == 'r' || from[1] == 'n')) {
            *out++ = from[1] == 'r' ? '\r' : '\n';
            from += 2;
        } else {
            *out++ = *from++;
        }
    }
    *out = 0;
    return out - begin;
}

// RFC 6455, section 5.2; the mask is zero, so that the payload stays as it is.
static size_t put_header(size_t length) {
    size_t head = 0;
    frame[head++] = 0x80 | (options.is_binary ? 2 : 1);
    if (length < 126) {
        frame[head++] = 0x80 | length;
    } else if (length < 65536) {
        frame[head++] = 0x80 | 126;
        frame[head++] = length >> 8;
        frame[head++] = length;
    } else {
        frame[head++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) frame[head++] = length >> shift;
    }
    memset(frame + head, 0, 4);
    return head + 4;
}

void send_template(Client *client, const char *from, int room, const char *payload, int payload_bytes) {
    size_t length = put_template(text, from, client, room, payload, payload_bytes), head = put_header(length);
    memcpy(frame + head, text, length);
    for (size_t sent = 0; sent < head + length;) {
        ssize_t put = write(client->fd, frame + sent, head + length - sent);
        if (put < 0 && errno == EAGAIN) usleep(100);
        else if (put < 0) fail("send", strerror(errno));
        else sent += put;
    }
}

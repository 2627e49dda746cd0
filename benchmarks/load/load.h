// The load generator: one epoll thread, many WebSocket clients. Read main.c first: its options say what it can do.
#pragma once
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_FRAMES = 16, MAX_GROUPS = 4, MAX_PIDS = 64, CARRY_BYTES = 32, EPOCH_BYTES = 24 };

// Processes whose CPU and memory are read together, as "node" or "redis".
typedef struct {
    const char *name;
    int pids[MAX_PIDS];
    int pid_count;
} Group;

typedef struct {
    const char *host, *path, *publisher_path, *publish, *ready_text, *epoch_after, *token_file, *request, *watch;
    const char *headers[MAX_FRAMES], *subscribe[MAX_FRAMES], *greeting[MAX_FRAMES], *again[MAX_FRAMES];
    int header_count, subscribe_count, greeting_count, again_count;
    int port, sockets, watchers, joins, rooms, messages, window, payload_bytes, deliveries_each, at_once, settle_ms;
    double rate, connects_per_second, timeout_seconds;
    bool is_binary, is_idle, everyone_publishes;
    Group groups[MAX_GROUPS];
    int group_count;
} Options;
extern Options options;

// A client. Its first frame goes out when the handshake is answered, the next one when the server has spoken again.
typedef enum { CLOSED, HANDSHAKE, GREETING, READY } State;
typedef struct {
    int fd, index, frames_sent, joined, carried;  // fd: -1 when closed
    State state;
    bool is_again;
    uint64_t begun_ns;
    char carry[CARRY_BYTES];
    char epoch[EPOCH_BYTES];  // of its room
} Client;

// Latencies in µs, to 3 %: bucket 64 * power + n holds those whose first six bits are n.
typedef struct {
    uint64_t buckets[64 * 32], count;
} Histogram;
void histogram_add(Histogram *histogram, uint64_t us);
uint64_t histogram_part(const Histogram *histogram, double part);

// machine.c
uint64_t now_ns(void);
double group_cpu_us(const Group *group);
double group_pss_kb(const Group *group);

// report.c: one JSON object on stdout, a phase at a time.
typedef struct {
    double cpu_us[MAX_GROUPS];
    uint64_t begun_ns;
} Reading;
Reading begin_reading(void);
void report_phase(const char *name, const Reading *before, uint64_t ended_ns, long count, const Histogram *latency);
void note_memory(void);
void report_memory(const char *name);
void report_begin(void);
void report_end(void);
void fail(const char *what, const char *detail) __attribute__((noreturn));

// frames.c
void send_template(Client *client, const char *template_text, int room, const char *payload, int payload_bytes);
void make_payload(char *payload, int bytes, uint64_t stamp_ns);
int put_template(char *out, const char *template_text, const Client *client, int room, const char *payload, int bytes);

// client.c
extern int epoll_fd;
extern Client *clients, publisher;
extern long ready, closed, delivered;
extern Histogram latency, ready_latency;
void begin_client(Client *client);
void connect_all(bool is_again);
void connect_publisher(void);
void drop_all(void);
void poll_clients(int timeout_ms);
void wait_ms(int milliseconds);
int room_of(const Client *client);

// reading.c
void take_bytes(Client *client);

// phases.c
void publish_closed_loop(void);
void publish_open_loop(void);
void recover(void);

// http.c
void request_all(void);

// The options of the load generator, and the order of its phases. What it prints is in report.c.
#include "load.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

Options options = {.host = "127.0.0.1", .path = "/", .sockets = 1, .rooms = 1, .window = 1, .payload_bytes = 100,
                   .at_once = 1, .joins = 1, .settle_ms = 500, .timeout_seconds = 25, .deliveries_each = 1};

// Frames are templates (frames.c); a frame "text>>frame" is sent when the text was heard.
static const struct option NAMES[] = {
    {"port", 1, 0, 'p'},            // of the server on 127.0.0.1
    {"path", 1, 0, 'P'},            // of the WebSocket
    {"publisher-path", 1, 0, 'Q'},  // if it is another one
    {"header", 1, 0, 'A'},          // a line for each handshake; may be repeated, as all frames
    {"tokens", 1, 0, 'a'},          // a file of such lines; client i sends line i, from the start again after the last
    {"sockets", 1, 0, 'n'},         // how many clients; client i is in room i % rooms
    {"rooms", 1, 0, 'R'},
    {"subscribe", 1, 0, 'S'},       // each client's frames
    {"joins", 1, 0, 'J'},           // rooms of each client; the last frame is sent for each: i, i + sockets and so on
    {"watch", 1, 0, 'x'},           // the last one of the first --watchers clients
    {"watchers", 1, 0, 'y'},
    {"ready", 1, 0, 'r'},           // text that says that a client is subscribed; without one, its last frame was sent
    {"greeting", 1, 0, 'T'},        // the publisher's frames
    {"publish", 1, 0, 'U'},         // a message's frame; without one nothing is published
    {"messages", 1, 0, 'm'},
    {"deliveries", 1, 0, 'e'},      // of each message
    {"window", 1, 0, 'w'},          // closed loop: messages in flight
    {"rate", 1, 0, 'o'},            // open loop: messages a second
    {"everyone", 0, 0, 'E'},        // the clients publish in turn, each in its room
    {"bytes", 1, 0, 's'},           // of a payload
    {"binary", 0, 0, 'b'},          // frames
    {"at-once", 1, 0, 'j'},         // connects under way
    {"connects", 1, 0, 'k'},        // a second
    {"again", 1, 0, 'X'},           // after the messages all are lost and come back with these frames
    {"epoch-after", 1, 0, 'f'},     // the text behind which the server tells the epoch
    {"request", 1, 0, 'H'},         // HTTP: this whole request, --messages times over --sockets connections
    {"settle", 1, 0, 'd'},          // ms from the last connect to the reading of CPU and memory
    {"timeout", 1, 0, 't'},         // seconds, of each phase
    {"group", 1, 0, 'c'},           // NAME=PID,PID whose CPU and memory are read
    {0, 0, 0, 0},
};

static void read_group(char *text) {
    if (options.group_count == MAX_GROUPS) fail("group", "too many");
    Group *group = &options.groups[options.group_count++];
    group->name = strtok(text, "=");
    for (char *pid; (pid = strtok(NULL, ",")) && group->pid_count < MAX_PIDS;) group->pids[group->pid_count++] = atoi(pid);
}

static void read_text_option(int which, char *value) {
    switch (which) {
        case 'P': options.path = value; break;
        case 'Q': options.publisher_path = value; break;
        case 'A': options.headers[options.header_count++] = value; break;
        case 'a': options.token_file = value; break;
        case 'S': options.subscribe[options.subscribe_count++] = value; break;
        case 'x': options.watch = value; break;
        case 'r': options.ready_text = value; break;
        case 'T': options.greeting[options.greeting_count++] = value; break;
        case 'U': options.publish = value; break;
        case 'X': options.again[options.again_count++] = value; break;
        case 'f': options.epoch_after = value; break;
        case 'H': options.request = value; break;
        case 'c': read_group(value); break;
        default: exit(2);
    }
}

static void read_option(int which, char *value) {
    switch (which) {
        case 'p': options.port = atoi(value); break;
        case 'n': options.sockets = atoi(value); break;
        case 'y': options.watchers = atoi(value); break;
        case 'J': options.joins = atoi(value); break;
        case 'R': options.rooms = atoi(value); break;
        case 'm': options.messages = atoi(value); break;
        case 'e': options.deliveries_each = atoi(value); break;
        case 'w': options.window = atoi(value); break;
        case 'o': options.rate = atof(value); break;
        case 'E': options.everyone_publishes = true; break;
        case 's': options.payload_bytes = atoi(value); break;
        case 'b': options.is_binary = true; break;
        case 'j': options.at_once = atoi(value); break;
        case 'k': options.connects_per_second = atof(value); break;
        case 'd': options.settle_ms = atoi(value); break;
        case 't': options.timeout_seconds = atof(value); break;
        default: read_text_option(which, value);
    }
}

static void connect_and_report(void) {
    note_memory();
    Reading before = begin_reading();
    connect_all(false);
    uint64_t ended = now_ns();
    wait_ms(options.settle_ms);
    report_phase("connects", &before, ended, options.sockets, &ready_latency);
    report_memory("kb_per_socket");
}

int main(int count, char **values) {
    for (int which; (which = getopt_long(count, values, "", NAMES, NULL)) != -1;) read_option(which, optarg);
    struct rlimit files = {1 << 20, 1 << 20};
    if (setrlimit(RLIMIT_NOFILE, &files)) getrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(0);
    clients = calloc(options.sockets, sizeof *clients);
    for (int i = 0; i < options.sockets; i++) clients[i].index = i;
    report_begin();
    if (options.request) {
        request_all();
    } else {
        connect_and_report();
        if (options.publish && !options.everyone_publishes) connect_publisher();
        if (options.publish && options.rate > 0) publish_open_loop();
        else if (options.publish) publish_closed_loop();
        if (options.publish) report_memory("kb_per_busy_socket");
        if (options.again_count) recover();
    }
    report_end();
    return 0;
}

// Publishing, with so many messages in flight or at a rate whatever happens, and coming back after a loss.
#include "load.h"
#include <stdlib.h>

static const uint64_t STALL_NS = 3000000000ull;
static char *payload;

static void publish(Client *client, int room, uint64_t stamp_ns) {
    if (!payload) payload = malloc(options.payload_bytes + 64);
    make_payload(payload, options.payload_bytes, stamp_ns);
    send_template(client, options.publish, room, payload, options.payload_bytes);
}

static void forget_deliveries(void) {
    delivered = 0;
    latency = (Histogram){0};
}

// Whether to go on waiting for deliveries; last_ns is when the last one came.
static bool goes_on(uint64_t begun_ns, uint64_t *last_ns, long *seen) {
    uint64_t now = now_ns();
    if (delivered != *seen) *seen = delivered, *last_ns = now;
    return now - *last_ns < STALL_NS && now - begun_ns < options.timeout_seconds * 1e9;
}

// options.window messages are on their way until all of their deliveries came.
void publish_closed_loop(void) {
    long sent = 0, seen = 0, each = options.deliveries_each, all = each * options.messages;
    forget_deliveries();
    Reading before = begin_reading();
    uint64_t last = before.begun_ns;
    while (delivered < all && goes_on(before.begun_ns, &last, &seen)) {
        while (sent < options.messages && delivered >= (sent - options.window + 1) * each)
            publish(&publisher, sent++ % options.rooms, now_ns());
        poll_clients(100);
    }
    goes_on(before.begun_ns, &last, &seen);
    report_phase("deliveries", &before, last, delivered, &latency);
    printf(",\"missing\":%ld", all - delivered);
}

// A message is due at its time, whether or not the ones before it came; its latency counts from then.
void publish_open_loop(void) {
    long sent = 0, seen = 0, all = (long)options.deliveries_each * options.messages;
    forget_deliveries();
    Reading before = begin_reading();
    uint64_t last = before.begun_ns;
    while (delivered < all && goes_on(before.begun_ns, &last, &seen)) {
        uint64_t due = before.begun_ns + (uint64_t)(sent * 1e9 / options.rate);
        while (sent < options.messages && due <= now_ns()) {
            Client *sender = options.everyone_publishes ? &clients[sent % options.sockets] : &publisher;
            int room = options.everyone_publishes ? room_of(sender) : (int)(sent % options.rooms);
            publish(sender, room, due);
            due = before.begun_ns + (uint64_t)(++sent * 1e9 / options.rate);
        }
        poll_clients(sent < options.messages && due < now_ns() + 1000000 ? 0 : 1);
    }
    goes_on(before.begun_ns, &last, &seen);
    report_phase("deliveries", &before, last, delivered, &latency);
    printf(",\"missing\":%ld", all - delivered);
}

// All are lost, as much as before is published, and all come back for it at once.
void recover(void) {
    drop_all();
    wait_ms(options.settle_ms);
    for (int i = 0; i < options.messages; i++) {
        publish(&publisher, i % options.rooms, now_ns());
        poll_clients(0);
    }
    wait_ms(options.settle_ms);
    forget_deliveries();
    ready_latency = (Histogram){0};
    Reading before = begin_reading();
    uint64_t last = before.begun_ns;
    long seen = 0, all = (long)options.deliveries_each * options.messages;
    connect_all(true);
    while (delivered < all && goes_on(before.begun_ns, &last, &seen)) poll_clients(10);
    goes_on(before.begun_ns, &last, &seen);
    report_phase("recoveries", &before, last, options.sockets, &ready_latency);
    printf(",\"unrecovered\":%ld", all - delivered);
}

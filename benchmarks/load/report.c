// What was measured, as one JSON object on stdout: a member for each phase.
#include "load.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static bool has_members = false;

void histogram_add(Histogram *histogram, uint64_t us) {
    int power = us < 64 ? 0 : 58 - __builtin_clzll(us);
    int bucket = power < 32 ? power * 64 + (int)(us >> power) : 64 * 32 - 1;
    histogram->buckets[bucket]++;
    histogram->count++;
}

// The latency that so large a part of all did not pass, in µs.
uint64_t histogram_part(const Histogram *histogram, double part) {
    uint64_t wanted = (uint64_t)(histogram->count * part), seen = 0;
    for (int bucket = 0; bucket < 64 * 32; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen <= wanted) continue;
        return (uint64_t)(bucket % 64) << (bucket / 64);
    }
    return 0;
}

void fail(const char *what, const char *detail) {
    fprintf(stderr, "%s: %s\n", what, detail);
    exit(1);
}

void report_begin(void) { printf("{"); }

static void member(const char *name) {
    printf("%s\"%s\":", has_members ? "," : "", name);
    has_members = true;
}

void report_end(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    member("closed");
    printf("%ld,\"load_cpu_us\":%.0f}\n", closed,
           (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

Reading begin_reading(void) {
    Reading reading;
    for (int i = 0; i < options.group_count; i++) reading.cpu_us[i] = group_cpu_us(&options.groups[i]);
    reading.begun_ns = now_ns();
    return reading;
}

// count: what was done in the phase, by which its CPU is divided; ended_ns: when the last of it was.
void report_phase(const char *name, const Reading *before, uint64_t ended_ns, long count, const Histogram *latency) {
    member(name);
    printf("{\"count\":%ld,\"seconds\":%.6f,\"cpu_us\":{", count, (ended_ns - before->begun_ns) / 1e9);
    for (int i = 0; i < options.group_count; i++)
        printf("%s\"%s\":%.1f", i ? "," : "", options.groups[i].name,
               group_cpu_us(&options.groups[i]) - before->cpu_us[i]);
    printf("}");
    if (latency && latency->count)
        printf(",\"p50_us\":%lu,\"p99_us\":%lu,\"p999_us\":%lu", histogram_part(latency, .5),
               histogram_part(latency, .99), histogram_part(latency, .999));
    printf("}");
}

static double before_kb[MAX_GROUPS];

void note_memory(void) {
    for (int i = 0; i < options.group_count; i++) before_kb[i] = group_pss_kb(&options.groups[i]);
}

// By how much the groups have grown since then for each socket, in KB.
void report_memory(const char *name) {
    member(name);
    printf("{");
    for (int i = 0; i < options.group_count; i++)
        printf("%s\"%s\":%.3f", i ? "," : "", options.groups[i].name,
               (group_pss_kb(&options.groups[i]) - before_kb[i]) / options.sockets);
    printf("}");
}

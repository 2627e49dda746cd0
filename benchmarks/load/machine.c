// What the kernel tells: the clock, and the CPU and memory of other processes.
#include "load.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

// The first number of a file of /proc; 0 if the thread is gone.
static double first_number(const char *path) {
    char text[64] = "0";
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    if (!fgets(text, sizeof text, file)) text[0] = 0;
    fclose(file);
    return atof(text);
}

// Of all threads, in ns from the scheduler: /proc/PID/stat counts ticks of 10 ms.
static double process_cpu_us(int pid) {
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks) return 0;
    double ns = 0;
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pid, task->d_name);
        ns += first_number(path);
    }
    closedir(tasks);
    return ns / 1000;
}

static double process_pss_kb(int pid) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    double kb = 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, "Pss:", 4)) kb = atof(line + 4);
    fclose(file);
    return kb;
}

double group_cpu_us(const Group *group) {
    double sum = 0;
    for (int i = 0; i < group->pid_count; i++) sum += process_cpu_us(group->pids[i]);
    return sum;
}

double group_pss_kb(const Group *group) {
    double sum = 0;
    for (int i = 0; i < group->pid_count; i++) sum += process_pss_kb(group->pids[i]);
    return sum;
}

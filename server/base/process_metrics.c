#include "base/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/text.h"

/* proc(5): the second field of statm is the resident pages. */
static double resident_bytes(void)
{
    char text[200];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    if (fd >= 0)
        close(fd);
    struct bytes rest = { text, length > 0 ? (size_t)length : 0 };
    uint64_t pages;
    text_next_field(&rest, ' ');
    if (!text_to_u64(text_next_field(&rest, ' '), &pages))
        return 0;
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    int count = -3; /* ".", ".." and the folder's own */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count > 0 ? count : 0;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

void process_metrics_update(void)
{
    static _Atomic int64_t started_ms;
    int64_t unset = 0;
    atomic_compare_exchange_strong(&started_ms, &unset, clock_now());
    struct rusage usage;
    struct rlimit files;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_set(metric_counter("process_cpu_seconds_total", "User and system CPU time.", ""),
                   seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        metric_set(metric_gauge("process_max_fds", "Most open file descriptors.", ""), (double)files.rlim_cur);
    metric_set(metric_gauge("process_open_fds", "Open file descriptors.", ""), open_descriptors());
    metric_set(metric_gauge("process_resident_memory_bytes", "Resident memory.", ""), resident_bytes());
    metric_set(metric_gauge("process_start_time_seconds", "When the process started, as unix time.", ""),
               (double)atomic_load(&started_ms) / 1000);
    metric_set(
        metric_gauge("answerd_build_info", "Always 1; the labels tell the version.", "version=\"" ANSWERD_VERSION "\""),
        1);
}

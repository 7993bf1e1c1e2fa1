/* Everything that processes share lies in one folder, $RKNN_EMULATED or /run/rknpu:
 *
 * cores   Until when each core is taken (int64, CLOCK_MONOTONIC ns), then how often each rule of the
 *         script was matched. Changed under a file lock, which the kernel releases when its holder
 *         is killed. A context adds its job to the end of a core's queue and sleeps until then, so a
 *         core is never in two runs at once, and what was begun by a process that died runs to its end.
 * record  One line a call: time, process, thread, context, core ("-" while it is open), call, details;
 *         times are CLOCK_MONOTONIC ns. Two lines a run: "run BEGIN END" when the core is taken, and
 *         "ran CODE" when it returns. "script CALL ACTION CODE" when a rule below strikes.
 * script  What shall go wrong, one rule a line, the first that fits counts:
 *             CALL [core=N] [nth=N | from=N] [return CODE [MESSAGE] | hang | crash | wait MS]
 *         CALL is a function without its "rknn_". nth=3 is the third call that fits, in whatever
 *         process, from=3 that and all later ones. Lines that begin with # are skipped.
 */
#define _GNU_SOURCE
#include "npu.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MOST_CORES 16
#define MOST_RULES 64

typedef struct {
    int64_t taken_until[MOST_CORES];
    int64_t matched[MOST_RULES];
} shared;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static shared *npu;
static int cores_fd = -1, record_fd = -1;
static char script_path[512], chip[32] = "rk3588";

static void read_chip(void)
{
    char text[256] = {0};
    FILE *file = fopen("/proc/device-tree/compatible", "r");
    if (!file)
        return;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    for (char *name = text; name < text + length; name += strlen(name) + 1)
        if (strncmp(name, "rockchip,", 9) == 0)
            snprintf(chip, sizeof chip, "%.31s", name + 9);
}

static int open_in(const char *folder, const char *name, int flags)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, flags | O_CREAT | O_CLOEXEC, 0666);
}

static void open_npu(void)
{
    const char *folder = getenv("RKNN_EMULATED");
    if (!folder)
        folder = "/run/rknpu";
    mkdir(folder, 0777);
    read_chip();
    cores_fd = open_in(folder, "cores", O_RDWR);
    record_fd = open_in(folder, "record", O_WRONLY | O_APPEND);
    snprintf(script_path, sizeof script_path, "%s/script", folder);
    if (cores_fd < 0 || record_fd < 0 || ftruncate(cores_fd, sizeof(shared)) != 0) {
        npu_log('E', "emulator: cannot write in %s", folder);
        abort();
    }
    npu = mmap(NULL, sizeof *npu, PROT_READ | PROT_WRITE, MAP_SHARED, cores_fd, 0);
    if (npu == MAP_FAILED)
        abort();
}

static void lock(void)
{
    pthread_once(&once, open_npu);
    pthread_mutex_lock(&mutex); /* threads share the open file, and so its lock */
    flock(cores_fd, LOCK_EX);
}

static void unlock(void)
{
    flock(cores_fd, LOCK_UN);
    pthread_mutex_unlock(&mutex);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

const char *npu_chip(void)
{
    pthread_once(&once, open_npu);
    return chip;
}

int npu_cores(void)
{
    return strcmp(npu_chip(), "rk3588") == 0 ? 3 : strcmp(npu_chip(), "rk3576") == 0 ? 2 : 1;
}

int npu_take(uint64_t context, uint32_t mask, int64_t ns, int64_t *begin, int64_t *end)
{
    lock();
    int core = 0;
    for (int i = 1; i < npu_cores(); i++)
        if ((mask >> i & 1) && (!(mask >> core & 1) || npu->taken_until[i] < npu->taken_until[core]))
            core = i;
    *begin = now();
    if (npu->taken_until[core] > *begin)
        *begin = npu->taken_until[core];
    *end = npu->taken_until[core] = *begin + ns;
    npu_record(context, core, "run", "%lld %lld", (long long)*begin, (long long)*end);
    unlock();
    return core;
}

void npu_sleep_until(int64_t end)
{
    struct timespec until = {end / 1000000000, end % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
        ;
}

/* ---------------------------------------------------------------- words */

void npu_record(uint64_t context, int core, const char *call, const char *format, ...)
{
    pthread_once(&once, open_npu);
    char line[512], number[8] = "-", details[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(details, sizeof details, format, arguments);
    va_end(arguments);
    if (core != AUTO)
        snprintf(number, sizeof number, "%d", core);
    int length = snprintf(line, sizeof line, "%lld %d %ld %llx %s %s %s\n", (long long)now(),
                          getpid(), syscall(SYS_gettid), (unsigned long long)context, number, call,
                          details);
    if (write(record_fd, line, (size_t)length) != length)
        abort();
}

void npu_log(char level, const char *format, ...)
{
    char message[512];
    struct timespec t;
    struct tm local;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    clock_gettime(CLOCK_REALTIME, &t);
    localtime_r(&t.tv_sec, &local);
    fprintf(stderr, "%c RKNN: [%02d:%02d:%02d.%03ld] %s\n", level, local.tm_hour, local.tm_min,
            local.tm_sec, t.tv_nsec / 1000000, message);
    fflush(stderr);
}

/* ---------------------------------------------------------------- the script */

typedef struct {
    char call[32], action[16], message[256];
    int core, nth, from, value;
} rule;

static int read_rule(rule *out, char *line)
{
    char *rest = NULL, *word = strtok_r(line, " \n", &rest);
    if (!word || *word == '#')
        return 0;
    memset(out, 0, sizeof *out);
    out->core = AUTO;
    snprintf(out->call, sizeof out->call, "%s", word);
    while ((word = strtok_r(NULL, " \n", &rest))) {
        if (sscanf(word, "core=%d", &out->core) == 1 || sscanf(word, "nth=%d", &out->nth) == 1
            || sscanf(word, "from=%d", &out->from) == 1)
            continue;
        snprintf(out->action, sizeof out->action, "%s", word);
        if ((word = strtok_r(NULL, " \n", &rest)))
            out->value = atoi(word);
        if ((word = strtok_r(NULL, "\n", &rest)))
            snprintf(out->message, sizeof out->message, "%s", word);
        return 1;
    }
    return 0;
}

/* The rule that strikes now. */
static int find_rule(rule *out, int core, const char *call)
{
    FILE *file = fopen(script_path, "r");
    if (!file)
        return 0;
    char line[512];
    int found = 0;
    lock();
    for (int number = 0; !found && number < MOST_RULES && fgets(line, sizeof line, file);) {
        if (!read_rule(out, line))
            continue;
        int fits = strcmp(out->call, call) == 0 && (out->core == AUTO || out->core == core);
        int64_t matched = fits ? ++npu->matched[number] : 0;
        found = fits && (out->nth ? matched == out->nth : matched >= out->from);
        number++;
    }
    unlock();
    fclose(file);
    return found;
}

int npu_script(uint64_t context, int core, const char *call)
{
    rule found;
    pthread_once(&once, open_npu);
    if (!find_rule(&found, core, call))
        return 0;
    npu_record(context, core, "script", "%s %s %d", call, found.action, found.value);
    if (found.message[0])
        npu_log('E', "%s", found.message);
    if (strcmp(found.action, "hang") == 0)
        for (;;)
            pause();
    if (strcmp(found.action, "crash") == 0) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    if (strcmp(found.action, "wait") == 0) {
        npu_sleep_until(now() + (int64_t)found.value * 1000000);
        return 0;
    }
    return found.value;
}

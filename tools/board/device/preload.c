/* Preloaded into every program of the board (/etc/ld.so.preload), for what a PC and qemu lack.
 *
 * The device tree: /proc is the kernel's own, which has none on a PC, so names below /proc/device-tree
 * are looked for in /board/CHIP instead, where CHIP is $BOARD_CHIP or rk3588.
 *
 * Adopting orphans: qemu does not know that prctl. `tools.board run` has asked for it already, and the
 * kernel keeps it for the program that this becomes, so here it has happened.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define TREE "/proc/device-tree"
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *moved(const char *path, char *memory, size_t size)
{
    size_t length = sizeof TREE - 1;
    if (!path || strncmp(path, TREE, length) != 0 || (path[length] && path[length] != '/'))
        return path;
    const char *chip = getenv("BOARD_CHIP");
    snprintf(memory, size, "/board/%s%s", chip ? chip : "rk3588", path + length);
    return memory;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        char memory[512];                                                                          \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;               \
        va_end(arguments);                                                                         \
        return NEXT(name)(moved(path, memory, sizeof memory), flags, mode);                        \
    }

#define OPENAT(name)                                                                               \
    int name(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        char memory[512];                                                                          \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;               \
        va_end(arguments);                                                                         \
        return NEXT(name)(folder, moved(path, memory, sizeof memory), flags, mode);                \
    }

#define FOPEN(name)                                                                                \
    FILE *name(const char *path, const char *mode)                                                 \
    {                                                                                              \
        char memory[512];                                                                          \
        return NEXT(name)(moved(path, memory, sizeof memory), mode);                               \
    }

#define STAT(name, kind)                                                                           \
    int name(const char *path, kind *status)                                                       \
    {                                                                                              \
        char memory[512];                                                                          \
        return NEXT(name)(moved(path, memory, sizeof memory), status);                             \
    }

/* Programs use either name of each. */
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)
STAT(stat, struct stat)
STAT(stat64, struct stat64)
STAT(lstat, struct stat)
STAT(lstat64, struct stat64)

int access(const char *path, int mode)
{
    char memory[512];
    return NEXT(access)(moved(path, memory, sizeof memory), mode);
}

int prctl(int option, ...)
{
    va_list arguments;
    va_start(arguments, option);
    unsigned long a = va_arg(arguments, unsigned long), b = va_arg(arguments, unsigned long);
    unsigned long c = va_arg(arguments, unsigned long), d = va_arg(arguments, unsigned long);
    va_end(arguments);
    if (option == PR_SET_CHILD_SUBREAPER)
        return 0;
    return NEXT(prctl)(option, a, b, c, d);
}

/* Makes the n-th system call of one kind fail, for files below one directory. Loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE, OPEN, RENAME, FSYNC, FDATASYNC, FLOCK, UNLINK, MKDIR, RMDIR, PWRITE, PREAD, FTRUNCATE };

static char below[4096];
static int armed = -1, nth, number, lasting, seen, fired;

void torture_below(const char *directory) { strncpy(below, directory, sizeof below - 1); }

/* error 0 means: write only half, which no error number stands for. */
void torture_arm(int call, int n, int error, int for_ever) {
    nth = n; number = error; lasting = for_ever; seen = fired = 0; armed = call;
}

void torture_disarm(void) { armed = -1; }
int torture_fired(void) { return fired; }

static int path_is_ours(const char *path) { return below[0] && strncmp(path, below, strlen(below)) == 0; }

static int fd_is_ours(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return path_is_ours(path);
}

/* Whether this call is to fail; only asked for files that are ours. */
static int fails(int call) {
    if (call != armed) return 0;
    int at = __sync_add_and_fetch(&seen, 1);
    if (lasting ? at < nth : at != nth) return 0;
    __sync_add_and_fetch(&fired, 1);
    errno = number;
    return 1;
}

#define NEXT(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
    if (armed == WRITE && fd_is_ours(fd) && fails(WRITE)) {
        if (number) return -1;
        size = (size + 1) / 2; // never 0, which no kernel answers for ever
    }
    return NEXT(write)(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (armed == PWRITE && fd_is_ours(fd) && fails(PWRITE)) {
        if (number) return -1;
        size = (size + 1) / 2; // never 0, which no kernel answers for ever
    }
    return NEXT(pwrite64)(fd, data, size, at);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
    if (armed == PREAD && fd_is_ours(fd) && fails(PREAD)) {
        if (number) return -1;
        size = (size + 1) / 2;
    }
    return NEXT(pread64)(fd, data, size, at);
}

#define OPENS(name)                                                             \
    int name(const char *path, int flags, ...) {                                \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                                           \
        if (path_is_ours(path) && fails(OPEN)) return -1;                       \
        return NEXT(name)(path, flags, mode);                                   \
    }
OPENS(open)
OPENS(open64)

int rename(const char *from, const char *to) {
    return path_is_ours(from) && fails(RENAME) ? -1 : NEXT(rename)(from, to);
}
int unlink(const char *path) { return path_is_ours(path) && fails(UNLINK) ? -1 : NEXT(unlink)(path); }
int rmdir(const char *path) { return path_is_ours(path) && fails(RMDIR) ? -1 : NEXT(rmdir)(path); }
int mkdir(const char *path, mode_t mode) {
    return path_is_ours(path) && fails(MKDIR) ? -1 : NEXT(mkdir)(path, mode);
}
int fsync(int fd) { return armed == FSYNC && fd_is_ours(fd) && fails(FSYNC) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) {
    return armed == FDATASYNC && fd_is_ours(fd) && fails(FDATASYNC) ? -1 : NEXT(fdatasync)(fd);
}
int ftruncate64(int fd, off64_t size) {
    return armed == FTRUNCATE && fd_is_ours(fd) && fails(FTRUNCATE) ? -1 : NEXT(ftruncate64)(fd, size);
}
int flock(int fd, int how) {
    return armed == FLOCK && fd_is_ours(fd) && fails(FLOCK) ? -1 : dlsym(RTLD_NEXT, "flock")
        ? ((int (*)(int, int)) dlsym(RTLD_NEXT, "flock"))(fd, how) : -1;
}

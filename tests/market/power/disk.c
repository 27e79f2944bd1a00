/* Writes down what a process does to the files of one folder, in order, so that a power cut at any moment can be
 * played afterwards. Preloaded; the folder is in POWER_FOLDER, the record goes to the file POWER_RECORD.
 *
 * A record: kind (1 byte), length of the name (2), name, offset (8), length (4), bytes. Numbers are little-endian.
 * Syncing is only written down: the disk that matters is the one that is played.
 *
 * While the file POWER_FULL exists the disk is full: no file of the folder is made, and none grows.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096
static char *names[FILES];
static int record = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t plain_write(int fd, const void *bytes, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return real(fd, bytes, length);
}

/* The name within the folder, "." for the folder itself, NULL for anything else. */
static const char *within(const char *path) {
    const char *folder = getenv("POWER_FOLDER");
    size_t length;
    if (!folder || !path) return NULL;
    length = strlen(folder);
    if (strncmp(path, folder, length)) return NULL;
    if (!path[length] || !strcmp(path + length, "/")) return ".";
    return path[length] == '/' ? path + length + 1 : NULL;
}

static const char *name_of(int fd) {
    return fd >= 0 && fd < FILES ? names[fd] : NULL;
}

static int full(void) {
    const char *sign = getenv("POWER_FULL");
    return sign && access(sign, F_OK) == 0;
}

/* Whether a file would grow to this size on a full disk; then errno says so. */
static int grows(int fd, int64_t size) {
    struct stat now;
    if (!name_of(fd) || !full() || fstat(fd, &now) || size <= now.st_size) return 0;
    errno = ENOSPC;
    return 1;
}

static void note(char kind, const char *name, int64_t offset, const void *bytes, uint32_t length) {
    uint16_t size = (uint16_t)strlen(name);
    struct iovec parts[] = {{&kind, 1}, {&size, 2}, {(void *)name, size}, {&offset, 8}, {&length, 4},
                            {(void *)bytes, bytes ? length : 0}};
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    if (!getenv("POWER_RECORD")) return;
    if (record < 0) {
        int (*plain_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
        record = plain_open(getenv("POWER_RECORD"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (record < 0) abort();
    }
    if (real(record, parts, 6) < 0) abort();
}

static int opened(int fd, const char *path, int flags, int existed) {
    const char *name = within(path);
    if (fd < 0 || !name || fd >= FILES) return fd;
    pthread_mutex_lock(&lock);
    free(names[fd]);
    names[fd] = strdup(name);
    if ((flags & O_CREAT) && !existed) note('C', name, 0, NULL, 0);
    if ((flags & O_TRUNC) && existed) note('T', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(symbol) \
    int symbol(const char *path, int flags, ...) { \
        mode_t mode = 0; \
        int existed = access(path, F_OK) == 0; \
        REAL(int, #symbol, const char *, int, ...); \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        if (!existed && (flags & O_CREAT) && within(path) && full()) { \
            errno = ENOSPC; \
            return -1; \
        } \
        return opened(real(path, flags, mode), path, flags, existed); \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    REAL(int, "close", int);
    pthread_mutex_lock(&lock);
    if (fd >= 0 && fd < FILES) {
        free(names[fd]);
        names[fd] = NULL;
    }
    pthread_mutex_unlock(&lock);
    return real(fd);
}

static ssize_t written(int fd, const void *bytes, ssize_t done, int64_t offset) {
    if (done > 0 && name_of(fd)) {
        pthread_mutex_lock(&lock);
        note('W', name_of(fd), offset, bytes, (uint32_t)done);
        pthread_mutex_unlock(&lock);
    }
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    int64_t offset = name_of(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
    if (grows(fd, offset + (int64_t)length)) return -1;
    return written(fd, bytes, plain_write(fd, bytes, length), offset);
}

#define PWRITE(symbol, type) \
    ssize_t symbol(int fd, const void *bytes, size_t length, type offset) { \
        REAL(ssize_t, #symbol, int, const void *, size_t, type); \
        if (grows(fd, offset + (int64_t)length)) return -1; \
        return written(fd, bytes, real(fd, bytes, length, offset), offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(symbol, type) \
    int symbol(int fd, type length) { \
        REAL(int, #symbol, int, type); \
        if (grows(fd, length)) return -1; \
        int done = real(fd, length); \
        if (!done && name_of(fd)) { \
            pthread_mutex_lock(&lock); \
            note('T', name_of(fd), length, NULL, 0); \
            pthread_mutex_unlock(&lock); \
        } \
        return done; \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(symbol) \
    int symbol(int fd) { \
        REAL(int, #symbol, int); \
        if (!name_of(fd)) return real(fd); \
        pthread_mutex_lock(&lock); \
        note('S', name_of(fd), 0, NULL, 0); \
        pthread_mutex_unlock(&lock); \
        return 0; \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    const char *name = within(path);
    REAL(int, "unlink", const char *);
    int done = real(path);
    if (!done && name) {
        pthread_mutex_lock(&lock);
        note('U', name, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return done;
}

int rename(const char *from, const char *to) {
    const char *name = within(from), *target = within(to);
    REAL(int, "rename", const char *, const char *);
    int done = real(from, to);
    if (!done && name && target) {
        pthread_mutex_lock(&lock);
        note('R', name, 0, target, (uint32_t)strlen(target));
        pthread_mutex_unlock(&lock);
    }
    return done;
}

/* A library to preload that writes down what a program does to its files.
 *
 * Every change of a file below JOURNAL_ROOT, and the beginning and the end of every flush, is
 * appended to the file JOURNAL after it happened, by all processes to the same one. What a power
 * loss would leave of the files at any moment follows from that; see power.py.
 *
 * A record: magic, kind, lengths of path and data, offset, time, then path and data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE, FLUSH_BEGIN, FLUSH_END, CREATE, RENAME, UNLINK, LINK, EXTEND };

struct head {
    uint32_t magic;
    uint32_t kind;
    uint32_t path_bytes;
    uint32_t data_bytes;
    uint64_t offset;
    uint64_t time_ns;
};

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static char *root;
static size_t root_bytes;
static int journal = -1;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("JOURNAL");
    const char *folder = getenv("JOURNAL_ROOT");
    if (!path || !folder) return;
    /* A copy: PostgreSQL writes its titles over the environment. */
    root = strdup(folder);
    root_bytes = strlen(root);
    int fd = (int)syscall(257 /* openat */, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (fd < 0) return;
    /* A high number, out of the way of programs that close all the low ones. */
    journal = fcntl(fd, F_DUPFD_CLOEXEC, 900);
    close(fd);
}

static int is_inside(const char *path) {
    return journal >= 0 && path && strncmp(path, root, root_bytes) == 0;
}

/* The path of an open file, unless it is none of ours. */
static int path_of(int fd, char *path) {
    if (journal < 0 || fd == journal) return 0;
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(name, path, PATH_MAX - 1);
    if (bytes <= 0) return 0;
    path[bytes] = 0;
    return is_inside(path);
}

/* The path as the kernel writes it, of a file that need not be there. */
static int absolute(const char *path, char *full) {
    if (journal < 0 || !path) return 0;
    if (path[0] == '/') {
        snprintf(full, PATH_MAX, "%s", path);
    } else {
        char folder[PATH_MAX];
        if (!getcwd(folder, sizeof folder)) return 0;
        while (strncmp(path, "./", 2) == 0) path += 2;
        if (snprintf(full, PATH_MAX, "%s/%s", folder, path) >= PATH_MAX) return 0;
    }
    return is_inside(full);
}

static void record(uint32_t kind, const char *path, uint64_t offset, const struct iovec *data,
                   int parts, size_t bytes) {
    int before = errno;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct head head = {0x4c4e524a, kind, strlen(path), bytes, offset,
                        now.tv_sec * 1000000000ull + now.tv_nsec};
    struct iovec all[2 + 64] = {{&head, sizeof head}, {(void *)path, head.path_bytes}};
    int count = 2;
    size_t left = bytes;
    for (int part = 0; part < parts && left > 0; part++) {
        size_t length = data[part].iov_len < left ? data[part].iov_len : left;
        all[count++] = (struct iovec){data[part].iov_base, length};
        left -= length;
    }
    REAL(writev);
    ssize_t whole = sizeof head + head.path_bytes + bytes;
    if (real(journal, all, count) != whole) {
        static const char words[] = "journal: a record was not written whole\n";
        syscall(1 /* write */, 2, words, sizeof words - 1);
        abort();
    }
    errno = before;
}

static void record_two(uint32_t kind, const char *from, const char *to) {
    struct iovec data = {(void *)to, strlen(to)};
    record(kind, from, 0, &data, 1, data.iov_len);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    ssize_t done = real(fd, bytes, count);
    char path[PATH_MAX];
    if (done > 0 && path_of(fd, path)) {
        off_t end = lseek(fd, 0, SEEK_CUR);
        struct iovec data = {(void *)bytes, done};
        record(WRITE, path, end - done, &data, 1, done);
    }
    return done;
}

static void record_at(int fd, const struct iovec *data, int parts, ssize_t done, off_t offset) {
    char path[PATH_MAX];
    if (done > 0 && path_of(fd, path)) record(WRITE, path, offset, data, parts, done);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    ssize_t done = real(fd, bytes, count, offset);
    struct iovec data = {(void *)bytes, count};
    record_at(fd, &data, 1, done, offset);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    ssize_t done = real(fd, bytes, count, offset);
    struct iovec data = {(void *)bytes, count};
    record_at(fd, &data, 1, done, offset);
    return done;
}

ssize_t writev(int fd, const struct iovec *data, int parts) {
    REAL(writev);
    ssize_t done = real(fd, data, parts);
    char path[PATH_MAX];
    if (done > 0 && parts <= 64 && path_of(fd, path))
        record(WRITE, path, lseek(fd, 0, SEEK_CUR) - done, data, parts, done);
    return done;
}

ssize_t pwritev(int fd, const struct iovec *data, int parts, off_t offset) {
    REAL(pwritev);
    ssize_t done = real(fd, data, parts, offset);
    record_at(fd, data, parts, done, offset);
    return done;
}

ssize_t pwritev64(int fd, const struct iovec *data, int parts, off64_t offset) {
    REAL(pwritev64);
    ssize_t done = real(fd, data, parts, offset);
    record_at(fd, data, parts, done, offset);
    return done;
}

static void record_size(uint32_t kind, int fd, off_t size) {
    char path[PATH_MAX];
    if (path_of(fd, path)) record(kind, path, size, NULL, 0, 0);
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    int done = real(fd, size);
    if (done == 0) record_size(TRUNCATE, fd, size);
    return done;
}

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    int done = real(fd, size);
    if (done == 0) record_size(TRUNCATE, fd, size);
    return done;
}

int truncate(const char *path, off_t size) {
    REAL(truncate);
    int done = real(path, size);
    char full[PATH_MAX];
    if (done == 0 && absolute(path, full)) record(TRUNCATE, full, size, NULL, 0, 0);
    return done;
}

int posix_fallocate(int fd, off_t offset, off_t bytes) {
    REAL(posix_fallocate);
    int done = real(fd, offset, bytes);
    if (done == 0) record_size(EXTEND, fd, offset + bytes);
    return done;
}

int posix_fallocate64(int fd, off64_t offset, off64_t bytes) {
    REAL(posix_fallocate64);
    int done = real(fd, offset, bytes);
    if (done == 0) record_size(EXTEND, fd, offset + bytes);
    return done;
}

#define FLUSH(name) \
    int name(int fd) { \
        REAL(name); \
        char path[PATH_MAX]; \
        int ours = path_of(fd, path); \
        if (ours) record(FLUSH_BEGIN, path, 0, NULL, 0, 0); \
        int done = real(fd); \
        if (ours && done == 0) record(FLUSH_END, path, 0, NULL, 0, 0); \
        return done; \
    }

FLUSH(fsync)
FLUSH(fdatasync)

static void opened(int flags, int was_there, int fd) {
    char full[PATH_MAX];
    if (fd < 0 || !path_of(fd, full)) return;
    if (!was_there) record(CREATE, full, 0, NULL, 0, 0);
    else if (flags & O_TRUNC) record(TRUNCATE, full, 0, NULL, 0, 0);
}

// The mode of a file that may be created: the argument after the flags.
#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        MODE(flags); \
        if (journal < 0 || !(flags & (O_CREAT | O_TRUNC))) return real(path, flags, mode); \
        int was_there = access(path, F_OK) == 0; \
        int fd = real(path, flags, mode); \
        opened(flags, was_there, fd); \
        return fd; \
    }

OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        MODE(flags); \
        if (journal < 0 || !(flags & (O_CREAT | O_TRUNC))) return real(folder, path, flags, mode); \
        int was_there = faccessat(folder, path, F_OK, 0) == 0; \
        int fd = real(folder, path, flags, mode); \
        opened(flags, was_there, fd); \
        return fd; \
    }

OPENAT(openat)
OPENAT(openat64)

int rename(const char *from, const char *to) {
    REAL(rename);
    int done = real(from, to);
    char one[PATH_MAX], other[PATH_MAX];
    if (done == 0 && absolute(from, one) && absolute(to, other)) record_two(RENAME, one, other);
    return done;
}

int link(const char *from, const char *to) {
    REAL(link);
    int done = real(from, to);
    char one[PATH_MAX], other[PATH_MAX];
    if (done == 0 && absolute(from, one) && absolute(to, other)) record_two(LINK, one, other);
    return done;
}

int unlink(const char *path) {
    REAL(unlink);
    int done = real(path);
    char full[PATH_MAX];
    if (done == 0 && absolute(path, full)) record(UNLINK, full, 0, NULL, 0, 0);
    return done;
}

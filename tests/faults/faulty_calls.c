/* Makes a process's disk lie. Preloaded (LD_PRELOAD) into a program that a test starts; see faulty_calls.py.

   FAULTY_PATHS   the faults concern files whose path contains this text
   FAULTY_WRITES  what becomes of a write of N bytes, of which all are reported as written:
                  nothing   none of them reaches the file
                  second    none of every second write's
                  half      only the first half of them
                  zeros     a block of zeros becomes a hole, as on a file system that compresses; no lie, no loss
   FAULTY_SYNCS   "nothing": fsync and fdatasync report success and do nothing, whatever the path
   FAULTY_WHILE   the faults happen only while this file exists; each one adds a byte to it
*/
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_uint writes;

static int note_fault(void)
{
    const char *path = getenv("FAULTY_WHILE");
    int noted = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (noted < 0)
        return 0;
    syscall(SYS_write, noted, "!", 1L);
    close(noted);
    return 1;
}

static int is_concerned(int fd)
{
    char link[64], path[4096];
    const char *wanted = getenv("FAULTY_PATHS");
    ssize_t length;
    if (!wanted)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, wanted) != NULL;
}

static int is_zero(const char *bytes, size_t size)
{
    return size > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* Returns how many of the bytes of a write are to be written in truth; -1: all of them. */
static ssize_t kept(int fd, const void *bytes, size_t size, off_t offset)
{
    const char *mode = getenv("FAULTY_WRITES");
    struct stat status;
    if (!mode || !is_concerned(fd))
        return -1;
    if (!strcmp(mode, "zeros")) {
        if (!is_zero(bytes, size) || fstat(fd, &status) || !note_fault())
            return -1;
        if (status.st_size < offset + (off_t)size && ftruncate(fd, offset + (off_t)size))
            return -1;
        return 0;
    }
    if (!strcmp(mode, "second") && atomic_fetch_add(&writes, 1) % 2 == 0)
        return -1;
    if (!note_fault())
        return -1;
    return !strcmp(mode, "half") ? (ssize_t)(size / 2) : 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    ssize_t in_truth = kept(fd, bytes, size, offset);
    if (in_truth < 0)
        return syscall(SYS_pwrite64, fd, bytes, size, offset);
    if (in_truth > 0)
        syscall(SYS_pwrite64, fd, bytes, (size_t)in_truth, offset);
    return (ssize_t)size;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite64(fd, bytes, size, offset);
}

static int sync_is_lost(void)
{
    const char *mode = getenv("FAULTY_SYNCS");
    return mode && !strcmp(mode, "nothing") && note_fault();
}

int fsync(int fd)
{
    return sync_is_lost() ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_is_lost() ? 0 : (int)syscall(SYS_fdatasync, fd);
}

/* Makes a process's disk lie. Preloaded (LD_PRELOAD) into a program that a test starts; see faulty_calls.py.

   FAULTY_PATHS   faults of writes concern files whose path contains this text
   FAULTY_WHILE   faults happen while this file exists. Its first line says which; each one adds a byte to it
                  nothing   a write reports success, and none of its bytes reaches the file
                  second    the same for every second write
                  half      only the first half of the bytes reaches the file
                  zeros     a block of zeros becomes a hole, as on a file system that compresses; no lie, no loss
                  no-syncs  fsync and fdatasync report success and do nothing, whatever the path
                  hang      fsync and fdatasync wait until the file says something else
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

/* Opens the file that says which faults happen; -1: none do. */
static int open_switch(char *word, size_t size)
{
    const char *path = getenv("FAULTY_WHILE");
    int opened = path ? open(path, O_RDWR | O_APPEND | O_CLOEXEC) : -1;
    ssize_t length = opened < 0 ? -1 : pread(opened, word, size - 1, 0);
    if (opened < 0)
        return -1;
    word[length < 0 ? 0 : length] = 0;
    word[strcspn(word, "\n")] = 0;
    return opened;
}

static void note_fault(int opened)
{
    syscall(SYS_write, opened, "!", 1L);
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
    char mode[32];
    struct stat status;
    ssize_t in_truth = -1;
    int opened = is_concerned(fd) ? open_switch(mode, sizeof mode) : -1;
    if (opened < 0)
        return -1;
    if (!strcmp(mode, "nothing") || (!strcmp(mode, "second") && atomic_fetch_add(&writes, 1) % 2))
        in_truth = 0;
    else if (!strcmp(mode, "half"))
        in_truth = (ssize_t)(size / 2);
    else if (!strcmp(mode, "zeros") && is_zero(bytes, size) && !fstat(fd, &status)
             && (status.st_size >= offset + (off_t)size || !ftruncate(fd, offset + (off_t)size)))
        in_truth = 0;
    if (in_truth >= 0)
        note_fault(opened);
    close(opened);
    return in_truth;
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
    char mode[32];
    for (int is_first = 1;; is_first = 0) {
        int opened = open_switch(mode, sizeof mode);
        int lost = opened >= 0 && !strcmp(mode, "no-syncs"), hangs = opened >= 0 && !strcmp(mode, "hang");
        if (lost || (hangs && is_first))
            note_fault(opened);
        if (opened >= 0)
            close(opened);
        if (!hangs)
            return lost;
        usleep(20000);
    }
}

int fsync(int fd)
{
    return sync_is_lost() ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_is_lost() ? 0 : (int)syscall(SYS_fdatasync, fd);
}

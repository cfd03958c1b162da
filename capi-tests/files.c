/* Saving and loading with the system's calls counted and failing: this program's own open, read, write, ... stand before
 * the C library's, for the shared library too. A save leaves the old file or the new one, whole, and says which. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FEATURES = 160, COUNT_OF_VALUES = FEATURES * FEATURES };

#define DIRECTORY "capi_files"
#define MODEL DIRECTORY "/model.safetensors"

/* What the library called, a letter each: o opens a file, d a directory, c creates; w writes, r reads; s flushes a file, D a
 * directory; m changes a mode; n renames, u removes; l locks. */
static char calls[1 << 16];
static size_t call_count;
static volatile int watching;
static long fail_at = -1; /* the call that fails */
static int fail_with;
static int interrupted; /* every other read and write is, and they do a few bytes */
static long kill_at = -1; /* the write at which the process ends */
static int wait_at_rename = -1; /* a pipe that is read before renaming */

/* Whether this call fails. */
static int faulty(char letter) {
  if (!watching) return 0;
  if (call_count < sizeof calls - 1) calls[call_count++] = letter;
  if (fail_at != (long)call_count - 1) return 0;
  errno = fail_with;
  return 1;
}

static int is_directory(int fd) {
  struct stat about;
  return fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
}

static int do_open(const char *path, int flags, mode_t mode) {
  struct stat about;
  char letter = flags & O_CREAT ? 'c' : stat(path, &about) == 0 && S_ISDIR(about.st_mode) ? 'd' : 'o';
  if (faulty(letter)) return -1;
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define MODE_OF(flags)                              \
  mode_t mode = 0;                                  \
  if ((flags) & O_CREAT) {                          \
    va_list list;                                   \
    va_start(list, flags);                          \
    mode = (mode_t)va_arg(list, unsigned);          \
    va_end(list);                                   \
  }

int open(const char *path, int flags, ...) {
  MODE_OF(flags)
  return do_open(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE_OF(flags)
  return do_open(path, flags, mode);
}

/* Whether this call is interrupted: every other one. */
static int interrupts(void) {
  static int turn;
  if (!watching || !interrupted || (turn ^= 1) == 0) return 0;
  errno = EINTR;
  return 1;
}

static size_t piece(size_t len) { return watching && interrupted && len > 4099 ? 4099 : len; }

ssize_t write(int fd, const void *bytes, size_t len) {
  if (watching && kill_at >= 0 && kill_at-- == 0) _exit(77);
  if (faulty('w') || interrupts()) return -1;
  return syscall(SYS_write, fd, bytes, piece(len));
}

ssize_t read(int fd, void *bytes, size_t len) {
  if (faulty('r') || interrupts()) return -1;
  return syscall(SYS_read, fd, bytes, piece(len));
}

int fsync(int fd) { return faulty(is_directory(fd) ? 'D' : 's') ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return faulty(is_directory(fd) ? 'D' : 's') ? -1 : (int)syscall(SYS_fdatasync, fd); }
int fchmod(int fd, mode_t mode) { return faulty('m') ? -1 : (int)syscall(SYS_fchmod, fd, mode); }
int flock(int fd, int how) { return faulty('l') ? -1 : (int)syscall(SYS_flock, fd, how); }
int unlink(const char *path) { return faulty('u') ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0); }

int rename(const char *from, const char *to) {
  char byte;
  if (watching && wait_at_rename >= 0) (void)!syscall(SYS_read, wait_at_rename, &byte, 1);
  if (faulty('n')) return -1;
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void start(void) {
  memset(calls, 0, sizeof calls);
  call_count = 0;
  watching = 1;
}

static srnn_status save(const srnn_dense *dense) {
  srnn_status status;
  start();
  status = srnn_dense_save_safetensors(dense, MODEL, "", &err);
  watching = 0;
  return status;
}

static srnn_status load(srnn_dense *dense) {
  srnn_status status;
  start();
  status = srnn_dense_load_safetensors(dense, MODEL, "", &err);
  watching = 0;
  return status;
}

static size_t how_many(char letter) {
  size_t i, n = 0;
  for (i = 0; i < call_count; ++i) n += calls[i] == letter;
  return n;
}

static long place(char letter) {
  const char *found = strchr(calls, letter);
  return found == NULL ? -1 : (long)(found - calls);
}

/* Files in the directory, temporary ones among them. */
static int files(int *temporary) {
  DIR *directory = opendir(DIRECTORY);
  struct dirent *entry;
  int n = 0;
  *temporary = 0;
  if (directory == NULL) exit(1);
  while ((entry = readdir(directory)) != NULL) {
    const size_t len = strlen(entry->d_name);
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    ++n;
    *temporary += len > 4 && strcmp(entry->d_name + len - 4, ".tmp") == 0;
  }
  closedir(directory);
  return n;
}

static srnn_dense *dense_of(uint64_t seed) {
  srnn_dense *dense;
  SUCCEEDS(srnn_dense_create(FEATURES, FEATURES, 0, &dense, &err));
  SUCCEEDS(srnn_dense_init(dense, seed, &err));
  return dense;
}

/* Whether the file is whole and holds these weights. */
static int holds(const srnn_dense *expected) {
  static float a[COUNT_OF_VALUES], b[COUNT_OF_VALUES];
  srnn_dense *found = dense_of(99);
  const int loaded = srnn_dense_load_safetensors(found, MODEL, "", &err) == SRNN_OK;
  SUCCEEDS(srnn_dense_read_values(expected, a, COUNT_OF_VALUES, &err));
  SUCCEEDS(srnn_dense_read_values(found, b, COUNT_OF_VALUES, &err));
  srnn_dense_destroy(found);
  return loaded && same_bits(a, b, COUNT_OF_VALUES);
}

/* The file is flushed before the renaming and the directory after it, once each. */
static void order(const srnn_dense *model) {
  int again, temporary;
  for (again = 0; again < 3; ++again) {
    SUCCEEDS(save(model));
    CHECK(how_many('s') == 1 && how_many('D') == 1 && how_many('n') == 1 && how_many('u') == 0);
    CHECK(how_many('c') == 1 && how_many('m') == (again > 0) && how_many('w') >= 2);
    CHECK(place('c') < place('w') && strrchr(calls, 'w') - calls < place('s'));
    CHECK(place('m') < place('s') && place('s') < place('n') && place('n') < place('d') && place('d') < place('D'));
    CHECK(files(&temporary) == 1 && temporary == 0 && holds(model));
  }
}

/* Each of a save's calls fails, with several errors. */
static void faulty_saves(const srnn_dense *old, const srnn_dense *new) {
  static const int errors[] = {EIO, ENOSPC, EACCES, EINVAL};
  size_t e;
  int temporary, failed_before = 0, failed_after = 0;
  for (e = 0; e < COUNT(errors); ++e) {
    long n;
    for (n = 0;; ++n) {
      srnn_status status;
      int is_new;
      size_t used;
      char failed;
      SUCCEEDS(srnn_dense_save_safetensors(old, MODEL, "", &err));
      fail_at = n, fail_with = errors[e];
      status = save(new);
      used = call_count, failed = calls[n];
      fail_at = -1;
      CHECK((status == SRNN_OK) == (err.message[0] == '\0'));
      CHECK(status == SRNN_OK || status == SRNN_ERROR_IO);
      is_new = holds(new);
      CHECK(is_new || holds(old));
      CHECK(status != SRNN_OK || is_new);
      CHECK(files(&temporary) == 1 && temporary == 0);
      if ((long)used <= n) break;
      /* What matters is told: only locks, the look for what others left, and what cannot be flushed may fail in silence. */
      if (strchr("wsn", failed) != NULL) {
        CHECK(status == SRNN_ERROR_IO && !is_new);
        ++failed_before;
      }
      if (failed == 'm') CHECK(status == SRNN_ERROR_IO && !is_new);
      if (failed == 'D' && fail_with == EIO) {
        CHECK(status == SRNN_ERROR_IO && is_new);
        ++failed_after;
      }
    }
    CHECK(n > 8);
  }
  CHECK(failed_before >= 16 && failed_after == 1);
}

/* Interrupted calls and short ones change nothing. */
static void interruptions(const srnn_dense *old, const srnn_dense *new) {
  srnn_dense *found = dense_of(5);
  static float a[COUNT_OF_VALUES], b[COUNT_OF_VALUES];
  SUCCEEDS(srnn_dense_save_safetensors(old, MODEL, "", &err));
  interrupted = 1;
  SUCCEEDS(save(new));
  CHECK(how_many('w') > 40);
  interrupted = 0;
  CHECK(holds(new));
  interrupted = 1;
  SUCCEEDS(load(found));
  CHECK(how_many('r') > 40);
  interrupted = 0;
  SUCCEEDS(srnn_dense_read_values(new, a, COUNT_OF_VALUES, &err));
  SUCCEEDS(srnn_dense_read_values(found, b, COUNT_OF_VALUES, &err));
  CHECK(same_bits(a, b, COUNT_OF_VALUES));
  srnn_dense_destroy(found);
}

/* Each of a load's calls fails: an error, and weights as they were. */
static void faulty_loads(void) {
  srnn_dense *found = dense_of(6);
  static float a[COUNT_OF_VALUES], b[COUNT_OF_VALUES];
  long n;
  SUCCEEDS(srnn_dense_read_values(found, a, COUNT_OF_VALUES, &err));
  for (n = 0;; ++n) {
    srnn_status status;
    fail_at = n, fail_with = EIO;
    status = load(found);
    fail_at = -1;
    if ((long)call_count <= n) {
      CHECK(status == SRNN_OK);
      break;
    }
    CHECK(status == SRNN_ERROR_IO && strstr(err.message, MODEL) != NULL);
    SUCCEEDS(srnn_dense_read_values(found, b, COUNT_OF_VALUES, &err));
    CHECK(same_bits(a, b, COUNT_OF_VALUES));
  }
  CHECK(n >= 3);
  srnn_dense_destroy(found);
}

/* A process that ends within a save leaves the old file, and a temporary one that the next save removes. */
static void killed_saves(const srnn_dense *old, const srnn_dense *new) {
  int at, temporary, state = 0;
  for (at = 0; at < 2; ++at) {
    pid_t child;
    SUCCEEDS(srnn_dense_save_safetensors(old, MODEL, "", &err));
    child = fork();
    if (child == 0) {
      kill_at = at;
      save(new);
      _exit(0);
    }
    CHECK(waitpid(child, &state, 0) == child && WIFEXITED(state) && WEXITSTATUS(state) == 77);
    CHECK(files(&temporary) == 2 && temporary == 1 && holds(old));
    SUCCEEDS(save(new));
    CHECK(files(&temporary) == 1 && temporary == 0 && holds(new));
  }
}

/* A process that is within a save is left alone. */
static void living_saves(const srnn_dense *old, const srnn_dense *new) {
  int ends[2], temporary, state = 0, tries;
  pid_t child;
  if (pipe(ends) != 0) exit(1);
  SUCCEEDS(srnn_dense_save_safetensors(old, MODEL, "", &err));
  child = fork();
  if (child == 0) {
    wait_at_rename = ends[0];
    _exit(save(new) == SRNN_OK ? 0 : 1);
  }
  for (tries = 0; tries < 60000 && (files(&temporary), temporary == 0); ++tries) usleep(1000);
  CHECK(temporary == 1);
  SUCCEEDS(save(old));
  CHECK(files(&temporary) == 2 && temporary == 1 && holds(old));
  (void)!syscall(SYS_write, ends[1], "x", 1);
  CHECK(waitpid(child, &state, 0) == child && WIFEXITED(state) && WEXITSTATUS(state) == 0);
  CHECK(files(&temporary) == 1 && temporary == 0 && holds(new));
  close(ends[0]);
  close(ends[1]);
}

/* What is no regular file is neither replaced nor read. */
static void other_things(const srnn_dense *model) {
  srnn_dense *found = dense_of(7);
  struct stat about;
  int again;
  CHECK(mkfifo(DIRECTORY "/fifo", 0600) == 0);
  for (again = 0; again < 2; ++again) {
    BAD_ARGUMENT("not a regular file", srnn_dense_save_safetensors(model, DIRECTORY "/fifo", "", &err));
    BAD_ARGUMENT("not a regular file", srnn_dense_save_safetensors(model, "/dev/null", "", &err));
    BAD_ARGUMENT("not a regular file", srnn_dense_save_safetensors(model, DIRECTORY, "", &err));
    REFUSED(SRNN_ERROR_IO, "FIFO", srnn_dense_load_safetensors(found, DIRECTORY "/fifo", "", &err));
    REFUSED(SRNN_ERROR_IO, "character device", srnn_dense_load_safetensors(found, "/dev/zero", "", &err));
    REFUSED(SRNN_ERROR_IO, "a directory", srnn_dense_load_safetensors(found, DIRECTORY, "", &err));
  }
  CHECK(stat(DIRECTORY "/fifo", &about) == 0 && S_ISFIFO(about.st_mode));
  CHECK(stat("/dev/null", &about) == 0 && S_ISCHR(about.st_mode));
  CHECK(remove(DIRECTORY "/fifo") == 0);
  srnn_dense_destroy(found);
}

int main(void) {
  srnn_dense *old = dense_of(1), *new = dense_of(2);
  int temporary;
  CHECK(mkdir(DIRECTORY, 0700) == 0);
  order(old);
  faulty_saves(old, new);
  interruptions(old, new);
  faulty_loads();
  killed_saves(old, new);
  living_saves(old, new);
  other_things(new);
  CHECK(files(&temporary) == 1 && remove(MODEL) == 0 && rmdir(DIRECTORY) == 0);
  srnn_dense_destroy(new);
  srnn_dense_destroy(old);
  return finish();
}

/* An allocator that fails on demand: the program's own malloc and friends stand before the C library's, for the shared
 * library too. One source of a program includes it; where calls are watched, that is watch.c. */

#ifndef ALLOCATOR_H
#define ALLOCATOR_H

#include <errno.h>
#include <stddef.h>

/* Sanitizers bring allocators of their own. */
#if defined(__has_feature)
#define IS_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

#ifdef WATCHED
#define CAN_FAIL_ALLOCATIONS (!IS_SANITIZED)
extern __thread long failed;
extern __thread volatile long until_failure;
#else
__thread long failed;                      /* allocations of this thread that did */
__thread volatile long until_failure = -1; /* allocations of this thread that still succeed; -1: all */
#ifndef LIVE
static long live; /* allocations that were not freed yet */
#define LIVE live
#define ALLOCATED(p, size, by) ((void)(size), (void)(by))
#define FREED(p) ((void)(p))
#endif

#if defined(__GLIBC__) && !IS_SANITIZED
#define CAN_FAIL_ALLOCATIONS 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

/* One allocation; later ones succeed again, so that only a call that gives up can tell. */
static int fails(void) {
  if (until_failure < 0 || until_failure-- > 0) return 0;
  ++failed;
  errno = ENOMEM; /* for the C library's own functions, which fail for the same reason */
  return 1;
}

static void *counted(void *p, size_t size, const void *by) {
  if (p != NULL) __atomic_add_fetch(&LIVE, 1, __ATOMIC_RELAXED);
  ALLOCATED(p, size, by);
  return p;
}

static void *aligned(size_t alignment, size_t size, const void *by) {
  return fails() ? NULL : counted(__libc_memalign(alignment, size), size, by);
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size) { return fails() ? NULL : counted(__libc_malloc(size), size, CALLER); }
void *calloc(size_t count, size_t size) {
  return fails() ? NULL : counted(__libc_calloc(count, size), count * size, CALLER);
}
void *realloc(void *p, size_t size) {
  void *moved;
  if (fails()) return NULL;
  moved = __libc_realloc(p, size);
  if (p == NULL) return counted(moved, size, CALLER);
  if (moved != NULL) FREED(p);
  ALLOCATED(moved, size, CALLER);
  return moved;
}
void *memalign(size_t alignment, size_t size) { return aligned(alignment, size, CALLER); }
void *aligned_alloc(size_t alignment, size_t size) { return aligned(alignment, size, CALLER); }
int posix_memalign(void **p, size_t alignment, size_t size) {
  void *made = aligned(alignment, size, CALLER);
  if (made == NULL) return ENOMEM;
  *p = made;
  return 0;
}
void free(void *p) {
  if (p != NULL) __atomic_sub_fetch(&LIVE, 1, __ATOMIC_RELAXED);
  FREED(p);
  __libc_free(p);
}

#else
#define CAN_FAIL_ALLOCATIONS 0
#define __libc_malloc malloc
#define __libc_free free
#endif
#endif

#endif

/* An allocator that fails on demand: the program's own malloc and friends stand before the C library's, for the shared
 * library too. */

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

static long failed;                                /* allocations that did */
static __thread volatile long until_failure = -1; /* allocations of this thread that still succeed; -1: all */

#if defined(__GLIBC__) && !IS_SANITIZED
#define CAN_FAIL_ALLOCATIONS 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static long live; /* allocations that were not freed yet */

/* One allocation; later ones succeed again, so that only a call that gives up can tell. */
static int fails(void) {
  if (until_failure < 0 || until_failure-- > 0) return 0;
  ++failed;
  errno = ENOMEM; /* for the C library's own functions, which fail for the same reason */
  return 1;
}

static void *counted(void *p) {
  if (p != NULL) __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
  return p;
}

void *malloc(size_t size) { return fails() ? NULL : counted(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : counted(__libc_calloc(count, size)); }
void *realloc(void *p, size_t size) {
  if (fails()) return NULL;
  return p == NULL ? counted(__libc_realloc(p, size)) : __libc_realloc(p, size);
}
void *memalign(size_t alignment, size_t size) { return fails() ? NULL : counted(__libc_memalign(alignment, size)); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **p, size_t alignment, size_t size) {
  void *made = memalign(alignment, size);
  if (made == NULL) return ENOMEM;
  *p = made;
  return 0;
}
void free(void *p) {
  if (p != NULL) __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
  __libc_free(p);
}

#else
#define CAN_FAIL_ALLOCATIONS 0
static long live;
#endif

#endif

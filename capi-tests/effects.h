/* What the options_*.c programs share. Every field of every struct that a call reads and every scalar argument of every
 * function has a line here that names it and compares results: tests/c_options.rs, which has the lists from the header, looks
 * for these lines. */

#ifndef EFFECTS_H
#define EFFECTS_H

#include "check.h"

static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  for (; size > 0; --size) hash = (hash ^ *p++) * 1099511628211u;
  return hash;
}

/* Results as a number. */
static uint64_t digest(const void *bytes, size_t size) { return mix(1469598103934665603u, bytes, size); }
static uint64_t of_floats(const float *values, size_t len) { return digest(values, len * sizeof *values); }

/* `run` of a struct as `base` and with another value in one field: results that are the same again, and others. */
#define FIELD(type, field, run, base, value)                   \
  do {                                                         \
    type with_ = *(base);                                      \
    uint64_t first_ = run(base), again_ = run(base), other_;   \
    with_.field = (value);                                     \
    other_ = run(&with_);                                      \
    CHECK(first_ == again_ && #type "." #field != NULL);       \
    CHECK(first_ != other_ && #type "." #field != NULL);       \
  } while (0)

/* Any byte of a reserved field that is not zero is refused by a call that takes `given`. */
#define RESERVED(type, field, base, call)                      \
  do {                                                         \
    size_t byte_;                                              \
    for (byte_ = 0; byte_ < sizeof(base)->field; ++byte_) {    \
      type with_ = *(base);                                    \
      const type *given = &with_;                              \
      memset((char *)&with_.field + byte_, 1, 1);              \
      BAD_ARGUMENT("reserved", call);                          \
    }                                                          \
  } while (0)

/* A length other than that of `base` is refused by a call that takes `given`. */
#define LENGTH(type, field, base, call)                        \
  do {                                                         \
    type with_ = *(base);                                      \
    const type *given = &with_;                                \
    ++with_.field;                                             \
    BAD_SHAPE("", call);                                       \
    with_.field -= 2;                                          \
    BAD_SHAPE("", call);                                       \
  } while (0)

/* Results of calls that differ in one argument. */
#define ARGUMENT(function, parameter, run, other)              \
  do {                                                         \
    uint64_t first_ = (run), again_ = (run);                   \
    CHECK(first_ == again_ && #function "." #parameter != NULL); \
    CHECK(first_ != (other) && #function "." #parameter != NULL); \
  } while (0)

/* What two calls wrote to a field of a struct. */
#define OUTPUT(type, field, one, other)                        \
  do {                                                         \
    const type *first_ = (one), *other_ = (other);             \
    CHECK(memcmp(&first_->field, &other_->field, sizeof first_->field) != 0); \
  } while (0)

/* A reserved field that a call wrote. */
#define ZEROED(type, field, written)                           \
  do {                                                         \
    const type *written_ = (written);                          \
    size_t byte_;                                              \
    for (byte_ = 0; byte_ < sizeof written_->field; ++byte_) CHECK(((const char *)&written_->field)[byte_] == 0); \
  } while (0)

static int finish_effects(void) {
  (void)mix, (void)of_floats;
  return finish();
}

#endif

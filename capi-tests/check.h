/* What the C test programs share: checks that count, and misuse that must be refused. */

#ifndef CHECK_H
#define CHECK_H

#include "simdrnn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static srnn_error err;
static int failures, checks, misuses;

#define CHECK(condition)                                                          \
  do {                                                                            \
    ++checks;                                                                     \
    if (!(condition)) {                                                           \
      ++failures;                                                                 \
      printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);            \
    }                                                                             \
  } while (0)

/* A call, with &err as its last argument, that succeeds. Stops the program if it does not: what follows needs it. */
#define SUCCEEDS(call)                                                                  \
  do {                                                                            \
    srnn_status status_;                                                          \
    err.status = -1;                                                              \
    strcpy(err.message, "stale");                                                 \
    status_ = (call);                                                             \
    ++checks;                                                                     \
    if (status_ != SRNN_OK || err.status != SRNN_OK || err.message[0] != '\0') {  \
      printf("%s:%d: %s: %d, %s\n", __FILE__, __LINE__, #call, (int)status_, err.message); \
      exit(1);                                                                    \
    }                                                                             \
  } while (0)

#ifdef FAILING_ALLOCATIONS
#include "allocator.h"

static int has_threads; /* which end, and give back what is theirs, some time after their pool */

/* Functions that may end the process when memory runs out, as the header says, and why: what they rest on aborts. The
 * functions that read word vectors are not among them: here they read formats in which nothing is packed. */
static const struct {
  const char *name, *why;
} may_end[] = {
    {"srnn_pool_create", "std::thread starts threads"},
    {"srnn_rnn_load_safetensors", "serde_json reads the file's header"},
    {"srnn_optimizer_load_safetensors", "serde_json reads the file's header"},
    {"srnn_tensor_file_open", "serde_json reads the file's header"},
    {"srnn_tensor_file_from_memory", "serde_json reads the file's header"},
    {"srnn_dense_load_safetensors", "serde_json reads the file's header"},
    {"srnn_embedding_load_safetensors", "serde_json reads the file's header"},
    {"srnn_classifier_load_tensors", "serde_json reads the metadata"},
    {"srnn_classifier_load", "serde_json reads the file's header"},
    {"srnn_trainer_load", "serde_json reads the file's header"},
};

static int may_abort(const char *call) {
  size_t i;
  for (i = 0; i < sizeof may_end / sizeof *may_end; ++i) {
    size_t len = strlen(may_end[i].name);
    if (strncmp(call, may_end[i].name, len) == 0 && call[len] == '(') return 1;
  }
  return 0;
}

/* A call that succeeds once memory is there: before that its first, second, ... allocation fails, and each time it says so. */
#define RUNS_OUT(call)                                                                            \
  do {                                                                                            \
    long n_;                                                                                      \
    srnn_status out_ = SRNN_ERROR_OUT_OF_MEMORY;                                                  \
    for (n_ = 0; out_ != SRNN_OK && !may_abort(#call); ++n_) {                                    \
      long before_ = failed;                                                                      \
      until_failure = n_;                                                                         \
      out_ = (call);                                                                              \
      until_failure = -1;                                                                         \
      if (out_ == SRNN_OK) {                                                                      \
        CHECK(err.status == SRNN_OK && err.message[0] == '\0');                                   \
      } else if (out_ != SRNN_ERROR_OUT_OF_MEMORY || err.status != out_ || failed != before_ + 1) { \
        printf("%s:%d: %s: %s '%s', allocation %ld failed\n", __FILE__, __LINE__, #call,          \
               srnn_status_string(out_), err.message, n_);                                        \
        exit(1);                                                                                  \
      }                                                                                           \
    }                                                                                             \
    if (may_abort(#call)) SUCCEEDS(call);                                                         \
    if (strstr(#call, "srnn_pool_create") != NULL) has_threads = 1;                               \
  } while (0)
#define OK(call) RUNS_OUT(call)
#else
#define OK(call) SUCCEEDS(call)
#endif

/* A call, with &err as its last argument, that must be refused with `expected` and a text that contains `word`. */
#define REFUSED(expected, word, call)                                             \
  do {                                                                            \
    srnn_status status_;                                                          \
    err.status = -1;                                                              \
    err.message[0] = '\0';                                                        \
    status_ = (call);                                                             \
    ++misuses;                                                                    \
    if (status_ != (expected) || err.status != status_ || strstr(err.message, (word)) == NULL) { \
      ++failures;                                                                 \
      printf("%s:%d: %s: found %s '%s', expected %s and '%s'\n", __FILE__, __LINE__, #call, \
             srnn_status_string(status_), err.message, srnn_status_string(expected), (word)); \
    }                                                                             \
  } while (0)

#define IS_NULL(word, call) REFUSED(SRNN_ERROR_NULL_POINTER, word, call)
#define BAD_ARGUMENT(word, call) REFUSED(SRNN_ERROR_INVALID_ARGUMENT, word, call)
#define BAD_SHAPE(word, call) REFUSED(SRNN_ERROR_SHAPE_MISMATCH, word, call)
#define BAD_STATE(word, call) REFUSED(SRNN_ERROR_INVALID_STATE, word, call)
#define TOO_LARGE(word, call) REFUSED(SRNN_ERROR_SIZE_OVERFLOW, word, call)

#define HUGE_LEN (SIZE_MAX / 2)
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A pointer to floats that is not aligned to them. */
static float *misaligned(float *p) { return (float *)(void *)((char *)p + 1); }

/* Numbers in [-1, 1) that look random. */
static void fill(float *values, size_t len, uint32_t seed) {
  size_t i;
  uint32_t s = seed * 2654435761u + 1u;
  for (i = 0; i < len; ++i) {
    s = s * 1664525u + 1013904223u;
    values[i] = (float)(int32_t)s * (1.0f / 2147483648.0f);
  }
}

static int same_bits(const float *a, const float *b, size_t len) { return memcmp(a, b, len * sizeof *a) == 0; }

/* Whether every value is `value`. */
static int all(const float *values, size_t len, float value) {
  size_t i;
  for (i = 0; i < len; ++i)
    if (values[i] != value) return 0;
  return 1;
}

static srnn_rnn *make_rnn(int32_t cell, size_t input_size, size_t hidden_size, size_t num_layers, int32_t direction) {
  srnn_rnn_config config;
  srnn_rnn *rnn;
  srnn_rnn_config_init(&config, cell, input_size, hidden_size);
  config.num_layers = num_layers;
  config.direction = direction;
  OK(srnn_rnn_create(&config, &rnn, &err));
  OK(srnn_rnn_init(rnn, SRNN_INIT_TORCH_UNIFORM, 1, &err));
  return rnn;
}

static srnn_session *make_session(void) {
  srnn_session *session;
  OK(srnn_session_create(NULL, &session, &err));
  return session;
}

/* The last statement of a program that cannot do here what it is for: the harness accepts that only of a program that it
 * runs in an emulator or under a tool. */
static int finish(void);
static const char *why_not_run;
static int not_run(const char *why) {
  why_not_run = why; /* printed later: what stdout allocates is not to be counted */
  return finish();
}

/* The program's last statement: its counts, for the harness to sum up. */
static int finish(void) {
#ifdef FAILING_ALLOCATIONS
  (void)may_abort, (void)until_failure;
  CHECK(live == 0 || has_threads);
  printf("allocations failed %ld\n", failed);
#endif
  if (why_not_run != NULL) printf("not run: %s\n", why_not_run);
  printf("checks %d misuses %d failures %d\n", checks, misuses, failures);
  (void)misaligned, (void)fill, (void)same_bits, (void)all, (void)make_rnn, (void)make_session, (void)not_run;
  return failures != 0;
}

#endif

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

/* The same call, which must be able to succeed: where calls are watched (watch/watch.h), every allocation of it fails
 * first. */
#define OK(call) SUCCEEDS(call)

#ifdef WATCHED
int watch_is_calm(void);
int watch_report(void);
#else
static int watch_is_calm(void) { return 0; }
static int watch_report(void) { return 1; }
#endif

/* A call, with &err as its last argument, that must be refused with `expected` and a text that contains `word`, the second
 * time too. A calm run leaves it out: nothing that comes after may show that. */
#define REFUSED(expected, word, call)                                             \
  do {                                                                            \
    int time_;                                                                    \
    ++misuses;                                                                    \
    for (time_ = 1; time_ <= 2 && !watch_is_calm(); ++time_) {                    \
      srnn_status status_;                                                        \
      err.status = -1;                                                            \
      err.message[0] = '\0';                                                      \
      status_ = (call);                                                           \
      if (status_ == (expected) && err.status == status_ && strstr(err.message, (word)) != NULL) continue; \
      ++failures;                                                                 \
      printf("%s:%d: %s: found %s '%s' at time %d, expected %s and '%s'\n", __FILE__, __LINE__, #call, \
             srnn_status_string(status_), err.message, time_, srnn_status_string(expected), (word)); \
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

/* srnn_rnn_forward with its arrays one by one: `shape` has the rest. */
static inline srnn_status run_any(const srnn_rnn *rnn, srnn_session *session, srnn_tape *tape, srnn_forward_args args,
                                  const srnn_state *initial, float *y, size_t y_len, const srnn_state_out *last,
                                  srnn_error *error) {
  if (initial != NULL) args.h0 = initial->h, args.h0_len = initial->h_len;
  if (initial != NULL) args.c0 = initial->c, args.c0_len = initial->c_len;
  if (last != NULL) args.hn = last->h, args.hn_len = last->h_len, args.cn = last->c, args.cn_len = last->c_len;
  args.y = y, args.y_len = y_len;
  return srnn_rnn_forward(rnn, session, tape, &args, error);
}

static inline srnn_status run_forward_train(const srnn_rnn *rnn, srnn_session *session, srnn_tape *tape,
                                            const srnn_forward_args *shape, uint64_t dropout_seed, const float *x,
                                            size_t x_len, const srnn_state *initial, float *y, size_t y_len,
                                            const srnn_state_out *last, srnn_error *error) {
  srnn_forward_args args;
  if (shape == NULL) return srnn_rnn_forward(rnn, session, tape, NULL, error);
  args = *shape;
  args.dropout_seed = dropout_seed, args.x = x, args.x_len = x_len;
  return run_any(rnn, session, tape, args, initial, y, y_len, last, error);
}

static inline srnn_status run_forward(const srnn_rnn *rnn, srnn_session *session, const srnn_forward_args *shape,
                                      const float *x, size_t x_len, const srnn_state *initial, float *y, size_t y_len,
                                      const srnn_state_out *last, srnn_error *error) {
  return run_forward_train(rnn, session, NULL, shape, 0, x, x_len, initial, y, y_len, last, error);
}

static inline srnn_status run_forward_train_tokens(const srnn_rnn *rnn, srnn_session *session, srnn_tape *tape,
                                                   const srnn_forward_args *shape, uint64_t dropout_seed,
                                                   const srnn_embedding *embedding, const uint32_t *indices,
                                                   size_t indices_len, const srnn_state *initial, float *y,
                                                   size_t y_len, const srnn_state_out *last, srnn_error *error) {
  srnn_forward_args args;
  if (shape == NULL) return srnn_rnn_forward(rnn, session, tape, NULL, error);
  args = *shape;
  args.dropout_seed = dropout_seed, args.embedding = embedding, args.indices = indices, args.indices_len = indices_len;
  return run_any(rnn, session, tape, args, initial, y, y_len, last, error);
}

static inline srnn_status run_forward_tokens(const srnn_rnn *rnn, srnn_session *session, const srnn_forward_args *shape,
                                             const srnn_embedding *embedding, const uint32_t *indices,
                                             size_t indices_len, const srnn_state *initial, float *y, size_t y_len,
                                             const srnn_state_out *last, srnn_error *error) {
  return run_forward_train_tokens(rnn, session, NULL, shape, 0, embedding, indices, indices_len, initial, y, y_len, last,
                                  error);
}

/* srnn_rnn_backward with its arrays one by one. */
static inline srnn_status run_backward(const srnn_rnn *rnn, srnn_session *session, const srnn_tape *tape,
                                       const float *dy, size_t dy_len, const srnn_state *dlast, float *dx,
                                       size_t dx_len, const srnn_state_out *dinitial, srnn_grads *grads,
                                       srnn_gradient_flow *flow, srnn_error *error) {
  srnn_backward_args args;
  srnn_backward_args_init(&args);
  args.dy = dy, args.dy_len = dy_len, args.dx = dx, args.dx_len = dx_len, args.grads = grads, args.flow = flow;
  if (dlast != NULL) args.dhn = dlast->h, args.dhn_len = dlast->h_len, args.dcn = dlast->c, args.dcn_len = dlast->c_len;
  if (dinitial != NULL) args.dh0 = dinitial->h, args.dh0_len = dinitial->h_len;
  if (dinitial != NULL) args.dc0 = dinitial->c, args.dc0_len = dinitial->c_len;
  return srnn_rnn_backward(rnn, session, tape, &args, error);
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
  OK(srnn_session_create(&session, &err));
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
  failures += !watch_report();
  if (why_not_run != NULL) printf("not run: %s\n", why_not_run);
  printf("checks %d misuses %d failures %d\n", checks, misuses, failures);
  (void)watch_is_calm, (void)misaligned, (void)fill, (void)same_bits, (void)all, (void)make_rnn, (void)make_session, (void)not_run;
  return failures != 0;
}

#endif

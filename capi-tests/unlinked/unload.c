/* The library loaded and unloaded while the program runs: once pool and sessions are destroyed, no thread of the library
 * is left that would run code which is gone. Takes the library's path. */

#define _POSIX_C_SOURCE 200809L

#include "simdrnn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 10, HIDDEN = 128, STEPS = 60 };

#define GET(name) *(void **)&name##_ = dlsym(library, #name)
#define FAIL_IF(condition)                                     \
  do {                                                         \
    if (condition) {                                           \
      printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);   \
      exit(1);                                                 \
    }                                                          \
  } while (0)

/* On a thread of its own, so that what the library keeps for a thread is gone as well. */
static void *use(void *library) {
  __typeof__(srnn_rnn_config_init) *srnn_rnn_config_init_;
  __typeof__(srnn_rnn_create) *srnn_rnn_create_;
  __typeof__(srnn_rnn_destroy) *srnn_rnn_destroy_;
  __typeof__(srnn_pool_create) *srnn_pool_create_;
  __typeof__(srnn_pool_destroy) *srnn_pool_destroy_;
  __typeof__(srnn_session_create) *srnn_session_create_;
  __typeof__(srnn_session_set_pool) *srnn_session_set_pool_;
  __typeof__(srnn_session_destroy) *srnn_session_destroy_;
  __typeof__(srnn_forward_args_init) *srnn_forward_args_init_;
  __typeof__(srnn_rnn_forward) *srnn_rnn_forward_;
  static float x[STEPS * HIDDEN], y[STEPS * HIDDEN];
  srnn_rnn_config config;
  srnn_forward_args args;
  srnn_rnn *rnn;
  srnn_pool *pool;
  srnn_session *session;
  GET(srnn_rnn_config_init);
  GET(srnn_rnn_create);
  GET(srnn_rnn_destroy);
  GET(srnn_pool_create);
  GET(srnn_pool_destroy);
  GET(srnn_session_create);
  GET(srnn_session_set_pool);
  GET(srnn_session_destroy);
  GET(srnn_forward_args_init);
  GET(srnn_rnn_forward);
  srnn_rnn_config_init_(&config, SRNN_CELL_LSTM, HIDDEN, HIDDEN);
  FAIL_IF(srnn_rnn_create_(&config, &rnn, NULL));
  FAIL_IF(srnn_pool_create_(3, &pool, NULL));
  FAIL_IF(srnn_session_create_(&session, NULL));
  FAIL_IF(srnn_session_set_pool_(session, pool, NULL));
  srnn_forward_args_init_(&args, 1, STEPS);
  args.x = x, args.x_len = STEPS * HIDDEN;
  args.y = y, args.y_len = STEPS * HIDDEN;
  FAIL_IF(srnn_rnn_forward_(rnn, session, NULL, &args, NULL));
  srnn_pool_destroy_(pool);
  srnn_session_destroy_(session);
  srnn_rnn_destroy_(rnn);
  return NULL;
}

int main(int argc, char **argv) {
  int round;
  FAIL_IF(argc != 2);
  for (round = 0; round < ROUNDS; ++round) {
    pthread_t thread;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    FAIL_IF(library == NULL);
    FAIL_IF(pthread_create(&thread, NULL, use, library));
    FAIL_IF(pthread_join(thread, NULL));
    FAIL_IF(dlclose(library));
    /* It is gone. */
    FAIL_IF(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) != NULL);
  }
  /* By a thread that has called it and lives on, which keeps its code mapped. */
  for (round = 0; round < ROUNDS; ++round) {
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    FAIL_IF(library == NULL);
    FAIL_IF(use(library) != NULL);
    FAIL_IF(dlclose(library));
  }
  printf("unloaded %d times\n", 2 * ROUNDS);
  return 0;
}

/* Version, status and errors, instruction sets, pools. */

#include "check.h"

static void version(void) {
  char text[64];
  sprintf(text, "%d.%d.%d", SRNN_VERSION_MAJOR, SRNN_VERSION_MINOR, SRNN_VERSION_PATCH);
  CHECK(strcmp(srnn_version(), text) == 0);
  CHECK(srnn_version_number() == SRNN_VERSION_NUMBER);
  CHECK(SRNN_VERSION_NUMBER == SRNN_VERSION_MAJOR * 1000000 + SRNN_VERSION_MINOR * 1000 + SRNN_VERSION_PATCH);
}

static void status(void) {
  CHECK(strcmp(srnn_status_string(SRNN_OK), "SRNN_OK") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_INVALID_ARGUMENT), "SRNN_ERROR_INVALID_ARGUMENT") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_NULL_POINTER), "SRNN_ERROR_NULL_POINTER") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_SHAPE_MISMATCH), "SRNN_ERROR_SHAPE_MISMATCH") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_SIZE_OVERFLOW), "SRNN_ERROR_SIZE_OVERFLOW") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_OUT_OF_MEMORY), "SRNN_ERROR_OUT_OF_MEMORY") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_INVALID_STATE), "SRNN_ERROR_INVALID_STATE") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_IO), "SRNN_ERROR_IO") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_INVALID_DATA), "SRNN_ERROR_INVALID_DATA") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_NOT_FOUND), "SRNN_ERROR_NOT_FOUND") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_UNSUPPORTED), "SRNN_ERROR_UNSUPPORTED") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_INTERNAL), "SRNN_ERROR_INTERNAL") == 0);
  CHECK(strcmp(srnn_status_string(-1), "unknown status") == 0);
  CHECK(strcmp(srnn_status_string(SRNN_ERROR_NON_FINITE), "SRNN_ERROR_NON_FINITE") == 0);
  CHECK(strcmp(srnn_status_string(13), "unknown status") == 0);
  CHECK(strcmp(srnn_status_string(INT32_MAX), "unknown status") == 0);
}

/* The error is optional, may have any alignment, and nothing beyond it is written. */
static void errors(void) {
  char room[sizeof(srnn_error) + 16];
  srnn_error copy;
  srnn_pool *pool = NULL;
  CHECK(sizeof(srnn_error) == 4 + SRNN_MESSAGE_SIZE);
  CHECK(srnn_pool_create(1, NULL, NULL) == SRNN_ERROR_NULL_POINTER);
  memset(room, 7, sizeof room);
  CHECK(srnn_pool_create(1, NULL, (srnn_error *)(void *)(room + 1)) == SRNN_ERROR_NULL_POINTER);
  memcpy(&copy, room + 1, sizeof copy);
  CHECK(copy.status == SRNN_ERROR_NULL_POINTER && strcmp(copy.message, "pool is NULL") == 0);
  CHECK(room[0] == 7 && room[1 + sizeof copy] == 7);
  CHECK(srnn_pool_create(1, &pool, NULL) == SRNN_OK && pool != NULL);
  srnn_pool_destroy(pool);
}

static void isa(void) {
  int32_t chosen, best, i;
  srnn_rnn *rnn;
  CHECK(srnn_isa_is_available(SRNN_ISA_SCALAR) == 1);
  CHECK(srnn_isa_is_available(-1) == 0 && srnn_isa_is_available(4) == 0);
  CHECK(strcmp(srnn_isa_name(SRNN_ISA_SCALAR), "scalar") == 0);
  CHECK(strcmp(srnn_isa_name(SRNN_ISA_AVX2), "avx2") == 0);
  CHECK(strcmp(srnn_isa_name(SRNN_ISA_AVX512), "avx512") == 0);
  CHECK(strcmp(srnn_isa_name(SRNN_ISA_NEON), "neon") == 0);
  CHECK(strcmp(srnn_isa_name(4), "unknown") == 0);
  OK(srnn_isa_choose(&best, &err));
  CHECK(srnn_isa_is_available(best) == 1);
  IS_NULL("isa", srnn_isa_choose(NULL, &err));
  BAD_ARGUMENT("instruction set 4", srnn_isa_set_limit(4, &err));
  BAD_ARGUMENT("instruction set -1", srnn_isa_set_limit(-1, &err));
#if defined(__x86_64__)
  REFUSED(SRNN_ERROR_UNSUPPORTED, "neon", srnn_isa_set_limit(SRNN_ISA_NEON, &err));
#elif defined(__aarch64__)
  REFUSED(SRNN_ERROR_UNSUPPORTED, "avx2", srnn_isa_set_limit(SRNN_ISA_AVX2, &err));
#endif
  OK(srnn_isa_set_limit(SRNN_ISA_SCALAR, &err));
  OK(srnn_isa_choose(&chosen, &err));
  CHECK(chosen == SRNN_ISA_SCALAR);
  rnn = make_rnn(SRNN_CELL_GRU, 3, 5, 1, SRNN_DIRECTION_FORWARD);
  CHECK(srnn_rnn_isa(rnn) == SRNN_ISA_SCALAR);
  srnn_rnn_destroy(rnn);
  for (i = SRNN_ISA_AVX2; i <= SRNN_ISA_NEON; ++i) /* the last that belongs to this machine lifts the limit */
    if (srnn_isa_set_limit(i, NULL) != SRNN_OK) continue;
  OK(srnn_isa_choose(&chosen, &err));
  CHECK(chosen == best);
}

static void pools(void) {
  srnn_pool *pool, *untouched = (srnn_pool *)(void *)&err;
  srnn_session *session = NULL;
  size_t threads;
  for (threads = 0; threads <= 3; ++threads) {
    OK(srnn_pool_create(threads, &pool, &err));
    CHECK(threads == 0 ? srnn_pool_thread_count(pool) >= 1 : srnn_pool_thread_count(pool) == threads);
    OK(srnn_session_create(&session, &err));
    OK(srnn_session_set_pool(session, pool, &err));
    srnn_pool_destroy(pool); /* the session keeps the threads */
    srnn_session_destroy(session);
  }
  CHECK(srnn_pool_thread_count(NULL) == 0);
  srnn_pool_destroy(NULL);
  IS_NULL("pool", srnn_pool_create(1, NULL, &err));
  BAD_ARGUMENT("1025", srnn_pool_create(1025, &untouched, &err));
  BAD_ARGUMENT("threads", srnn_pool_create(SIZE_MAX, &untouched, &err));
  CHECK(untouched == (srnn_pool *)(void *)&err);
}

int main(void) {
  version();
  status();
  errors();
  isa();
  pools();
  return finish();
}

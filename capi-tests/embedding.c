/* Embeddings and their gradients. */

#include "check.h"

enum { ROWS = 6, DIM = 3, TOKENS = 4 };

static const uint32_t indices[TOKENS] = {5, 2, 5, 0};
static float table[ROWS * DIM + 1], y[TOKENS * DIM + 1], dy[TOKENS * DIM + 1];

static void use(void) {
  srnn_embedding *e;
  srnn_embedding_grads *g;
  const uint32_t *rows;
  float *values, sum[DIM];
  size_t rows_len, values_len, i;
  OK(srnn_embedding_create(ROWS, DIM, 0, &e, &err));
  CHECK(srnn_embedding_num_embeddings(e) == ROWS && srnn_embedding_dim(e) == DIM && srnn_embedding_is_frozen(e) == 0);
  CHECK(srnn_embedding_num_embeddings(NULL) == 0 && srnn_embedding_dim(NULL) == 0);
  CHECK(srnn_embedding_is_frozen(NULL) == 0);
  OK(srnn_embedding_init_normal(e, 1, &err));
  OK(srnn_embedding_read_rows(e, 0, table, ROWS * DIM, &err));
  CHECK(all(table, DIM, 0.0f) && !all(table + DIM, DIM, 0.0f)); /* row 0 is the padding */
  OK(srnn_embedding_init_uniform(e, 0.5f, 1, &err));
  OK(srnn_embedding_read_rows(e, 0, table, ROWS * DIM, &err));
  for (i = DIM; i < ROWS * DIM; ++i) CHECK(table[i] != 0 && fabsf(table[i]) <= 0.5f);
  fill(table, ROWS * DIM, 1);
  OK(srnn_embedding_write_rows(e, 0, table, 2 * DIM, &err));
  OK(srnn_embedding_write_rows(e, 2, table + 2 * DIM, (ROWS - 2) * DIM, &err));
  OK(srnn_embedding_write_rows(e, ROWS, NULL, 0, &err));
  OK(srnn_embedding_forward(e, indices, TOKENS, y, TOKENS * DIM, &err));
  for (i = 0; i < TOKENS; ++i) CHECK(same_bits(y + i * DIM, table + indices[i] * DIM, DIM));

  fill(dy, TOKENS * DIM, 2);
  OK(srnn_embedding_grads_create(e, &g, &err));
  OK(srnn_embedding_grads_add(g, indices, TOKENS, dy, TOKENS * DIM, &err));
  OK(srnn_embedding_grads_data(g, &rows, &rows_len, &values, &values_len, &err));
  CHECK(rows_len == 2 && values_len == 2 * DIM && rows[0] == 2 && rows[1] == 5);
  for (i = 0; i < DIM; ++i) sum[i] = dy[i] + dy[2 * DIM + i];
  CHECK(same_bits(values, dy + DIM, DIM) && same_bits(values + DIM, sum, DIM));
  OK(srnn_embedding_grads_zero(g, &err));
  OK(srnn_embedding_grads_data(g, &rows, &rows_len, &values, &values_len, &err));
  CHECK(rows_len == 0 && values_len == 0);
  OK(srnn_embedding_set_frozen(e, 1, &err));
  CHECK(srnn_embedding_is_frozen(e) == 1);
  OK(srnn_embedding_set_frozen(e, 0, &err));
  CHECK(srnn_embedding_is_frozen(e) == 0);
  srnn_embedding_grads_destroy(g);
  srnn_embedding_grads_destroy(NULL);
  srnn_embedding_destroy(e);
  srnn_embedding_destroy(NULL);
}

static void misuse(void) {
  static const uint32_t beyond[2] = {1, ROWS};
  srnn_embedding *e, *none = NULL;
  srnn_embedding_grads *g, *no_grads = NULL;
  const uint32_t *rows = NULL;
  float *values = NULL;
  size_t n = 77, m = 77;
  OK(srnn_embedding_create(ROWS, DIM, -1, &e, &err));
  OK(srnn_embedding_grads_create(e, &g, &err));
  IS_NULL("embedding", srnn_embedding_create(ROWS, DIM, -1, NULL, &err));
  BAD_ARGUMENT("embedding_dim", srnn_embedding_create(ROWS, 0, -1, &none, &err));
  BAD_ARGUMENT("padding_idx is 6", srnn_embedding_create(ROWS, DIM, ROWS, &none, &err));
  BAD_ARGUMENT("padding_idx is -2", srnn_embedding_create(ROWS, DIM, -2, &none, &err));
  BAD_ARGUMENT("num_embeddings", srnn_embedding_create(SIZE_MAX, DIM, -1, &none, &err));
  TOO_LARGE("embedding", srnn_embedding_create(ROWS, SIZE_MAX, -1, &none, &err));
  REFUSED(SRNN_ERROR_OUT_OF_MEMORY, "allocate", srnn_embedding_create((size_t)1 << 31, 1 << 20, -1, &none, &err));
  CHECK(none == NULL);
  IS_NULL("embedding", srnn_embedding_init_normal(NULL, 1, &err));
  IS_NULL("embedding", srnn_embedding_init_uniform(NULL, 1, 1, &err));
  BAD_ARGUMENT("range", srnn_embedding_init_uniform(e, -1, 1, &err));
  BAD_ARGUMENT("range", srnn_embedding_init_uniform(e, (float)NAN, 1, &err));
  IS_NULL("embedding", srnn_embedding_set_frozen(NULL, 1, &err));
  BAD_ARGUMENT("frozen is 2", srnn_embedding_set_frozen(e, 2, &err));

  table[0] = y[0] = 77;
  IS_NULL("embedding", srnn_embedding_read_rows(NULL, 0, table, DIM, &err));
  IS_NULL("values", srnn_embedding_read_rows(e, 0, NULL, DIM, &err));
  BAD_SHAPE("values", srnn_embedding_read_rows(e, 0, table, DIM + 1, &err));
  BAD_ARGUMENT("2 rows from 5", srnn_embedding_read_rows(e, 5, table, 2 * DIM, &err));
  BAD_ARGUMENT("rows", srnn_embedding_read_rows(e, SIZE_MAX, table, DIM, &err));
  TOO_LARGE("values", srnn_embedding_read_rows(e, 0, table, HUGE_LEN, &err));
  IS_NULL("embedding", srnn_embedding_write_rows(NULL, 0, table, DIM, &err));
  IS_NULL("values", srnn_embedding_write_rows(e, 0, NULL, DIM, &err));
  BAD_SHAPE("values", srnn_embedding_write_rows(e, 0, table, DIM - 1, &err));
  BAD_ARGUMENT("rows", srnn_embedding_write_rows(e, 6, table, DIM, &err));
  BAD_ARGUMENT("aligned", srnn_embedding_write_rows(e, 0, misaligned(table), DIM, &err));

  IS_NULL("embedding", srnn_embedding_forward(NULL, indices, TOKENS, y, TOKENS * DIM, &err));
  IS_NULL("indices", srnn_embedding_forward(e, NULL, TOKENS, y, TOKENS * DIM, &err));
  IS_NULL("y", srnn_embedding_forward(e, indices, TOKENS, NULL, TOKENS * DIM, &err));
  BAD_SHAPE("values", srnn_embedding_forward(e, indices, TOKENS, y, TOKENS * DIM + 1, &err));
  BAD_ARGUMENT("indices[1] is 6", srnn_embedding_forward(e, beyond, 2, y, 2 * DIM, &err));
  TOO_LARGE("indices", srnn_embedding_forward(e, indices, HUGE_LEN, y, TOKENS * DIM, &err));

  IS_NULL("embedding", srnn_embedding_grads_create(NULL, &no_grads, &err));
  IS_NULL("grads", srnn_embedding_grads_create(e, NULL, &err));
  CHECK(no_grads == NULL);
  IS_NULL("grads", srnn_embedding_grads_zero(NULL, &err));
  IS_NULL("grads", srnn_embedding_grads_add(NULL, indices, TOKENS, dy, TOKENS * DIM, &err));
  IS_NULL("indices", srnn_embedding_grads_add(g, NULL, TOKENS, dy, TOKENS * DIM, &err));
  IS_NULL("dy", srnn_embedding_grads_add(g, indices, TOKENS, NULL, TOKENS * DIM, &err));
  BAD_SHAPE("dy", srnn_embedding_grads_add(g, indices, TOKENS, dy, TOKENS * DIM + 1, &err));
  BAD_ARGUMENT("indices[1]", srnn_embedding_grads_add(g, beyond, 2, dy, 2 * DIM, &err));
  IS_NULL("grads", srnn_embedding_grads_data(NULL, &rows, &n, &values, &m, &err));
  IS_NULL("rows is", srnn_embedding_grads_data(g, NULL, &n, &values, &m, &err));
  IS_NULL("rows_len", srnn_embedding_grads_data(g, &rows, NULL, &values, &m, &err));
  IS_NULL("values is", srnn_embedding_grads_data(g, &rows, &n, NULL, &m, &err));
  IS_NULL("values_len", srnn_embedding_grads_data(g, &rows, &n, &values, NULL, &err));
  CHECK(rows == NULL && values == NULL && n == 77 && m == 77 && table[0] == 77 && y[0] == 77);
  OK(srnn_embedding_grads_data(g, &rows, &n, &values, &m, &err));
  CHECK(n == 0 && m == 0); /* no failed call has added anything */
  srnn_embedding_grads_destroy(g);
  srnn_embedding_destroy(e);
}

/* Layers over words give what they give over the rows, forward, in training and back. */
static void layers(srnn_session *session) {
  enum { STEPS = 2, BATCH = 2, STATE = BATCH * 5, OUT = TOKENS * 5 };
  static const uint32_t padded[TOKENS] = {5, 2, 3, 0xFFFFFFFF}, beyond[TOKENS] = {5, ROWS, 5, 0};
  static const size_t lengths[BATCH] = {2, 1};
  float kept;
  float x[TOKENS * DIM], h[STATE], out[OUT], h_words[STATE], out_words[OUT], dx[2][TOKENS * DIM];
  srnn_embedding *e, *wide;
  srnn_rnn *rnn = make_rnn(SRNN_CELL_GRU, DIM, 5, 1, SRNN_DIRECTION_FORWARD);
  srnn_tape *tape;
  srnn_forward_args batch;
  srnn_state_out last, last_words;
  OK(srnn_embedding_create(ROWS, DIM, 0, &e, &err));
  OK(srnn_embedding_create(ROWS, DIM + 1, 0, &wide, &err));
  OK(srnn_embedding_init_normal(e, 3, &err));
  OK(srnn_tape_create(&tape, &err));
  srnn_forward_args_init(&batch, BATCH, STEPS);
  batch.lengths = lengths;
  batch.lengths_len = BATCH;
  srnn_state_out_init(&last, h, STATE, NULL, 0);
  srnn_state_out_init(&last_words, h_words, STATE, NULL, 0);
  memset(x, 0, sizeof x);
  OK(srnn_embedding_forward(e, padded, TOKENS - 1, x, (TOKENS - 1) * DIM, &err));
  OK(run_forward(rnn, session, &batch, x, TOKENS * DIM, NULL, out, OUT, &last, &err));
  OK(run_forward_tokens(rnn, session, &batch, e, padded, TOKENS, NULL, out_words, OUT, &last_words, &err));
  CHECK(same_bits(out, out_words, OUT) && same_bits(h, h_words, STATE) && !all(h, STATE, 0.0f));
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, TOKENS * DIM, NULL, out, OUT, &last, &err));
  OK(run_backward(rnn, session, tape, out, OUT, NULL, dx[0], TOKENS * DIM, NULL, NULL, NULL, &err));
  memset(out_words, 0, sizeof out_words);
  memset(h_words, 0, sizeof h_words);
  OK(run_forward_train_tokens(rnn, session, tape, &batch, 0, e, padded, TOKENS, NULL, out_words, OUT, &last_words,
                                   &err));
  CHECK(same_bits(out, out_words, OUT) && same_bits(h, h_words, STATE));
  OK(run_backward(rnn, session, tape, out, OUT, NULL, dx[1], TOKENS * DIM, NULL, NULL, NULL, &err));
  CHECK(same_bits(dx[0], dx[1], TOKENS * DIM) && !all(dx[0], TOKENS * DIM, 0.0f));

  kept = out[0];
  out[0] = h[0] = 77;
#define WORDS(rnn_, session_, batch_, table_, words_, len_) \
  run_forward_tokens(rnn_, session_, batch_, table_, words_, len_, NULL, out, OUT, &last, &err)
  IS_NULL("rnn", run_forward_tokens(NULL, session, &batch, e, padded, TOKENS, NULL, out, OUT, &last, &err));
  IS_NULL("session", WORDS(rnn, NULL, &batch, e, padded, TOKENS));
  IS_NULL("srnn_forward_args", WORDS(rnn, session, NULL, e, padded, TOKENS));
  BAD_ARGUMENT("no embedding", WORDS(rnn, session, &batch, NULL, padded, TOKENS));
  IS_NULL("indices", WORDS(rnn, session, &batch, e, NULL, TOKENS));
  BAD_SHAPE("indices has 3", WORDS(rnn, session, &batch, e, padded, TOKENS - 1));
  BAD_SHAPE("input_size", WORDS(rnn, session, &batch, wide, padded, TOKENS));
  BAD_ARGUMENT("indices[1] is 6", WORDS(rnn, session, &batch, e, beyond, TOKENS));
  TOO_LARGE("indices", WORDS(rnn, session, &batch, e, padded, HUGE_LEN));
#undef WORDS
#define WORDS(rnn_, session_, tape_, batch_, table_, words_, len_) \
  run_forward_train_tokens(rnn_, session_, tape_, batch_, 0, table_, words_, len_, NULL, out, OUT, &last, &err)
  IS_NULL("rnn", run_forward_train_tokens(NULL, session, tape, &batch, 0, e, padded, TOKENS, NULL, out, OUT, &last,
                                               &err));
  IS_NULL("session", WORDS(rnn, NULL, tape, &batch, e, padded, TOKENS));
  IS_NULL("srnn_forward_args", WORDS(rnn, session, tape, NULL, e, padded, TOKENS));
  BAD_ARGUMENT("no embedding", WORDS(rnn, session, tape, &batch, NULL, padded, TOKENS));
  batch.x = x;
  batch.x_len = 1;
  BAD_ARGUMENT("both x and tokens", WORDS(rnn, session, tape, &batch, e, padded, TOKENS));
  batch.x_len = 0;
  batch.x_row_stride = DIM;
  BAD_ARGUMENT("x_row_stride", WORDS(rnn, session, tape, &batch, e, padded, TOKENS));
  batch.x_row_stride = 0;
  IS_NULL("indices", WORDS(rnn, session, tape, &batch, e, NULL, TOKENS));
  BAD_SHAPE("indices has 3", WORDS(rnn, session, tape, &batch, e, padded, TOKENS - 1));
  BAD_SHAPE("input_size", WORDS(rnn, session, tape, &batch, wide, padded, TOKENS));
  BAD_ARGUMENT("indices[1] is 6", WORDS(rnn, session, tape, &batch, e, beyond, TOKENS));
#undef WORDS
  CHECK(out[0] == 77 && h[0] == 77);
  /* A tape that training failed to fill holds what it held. */
  out[0] = kept;
  memset(dx[1], 0, sizeof dx[1]);
  OK(run_backward(rnn, session, tape, out, OUT, NULL, dx[1], TOKENS * DIM, NULL, NULL, NULL, &err));
  CHECK(same_bits(dx[0], dx[1], TOKENS * DIM));
  srnn_tape_destroy(tape);
  srnn_rnn_destroy(rnn);
  srnn_embedding_destroy(wide);
  srnn_embedding_destroy(e);
}

int main(void) {
  srnn_session *session = make_session();
  use();
  misuse();
  layers(session);
  srnn_session_destroy(session);
  return finish();
}

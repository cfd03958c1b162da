/* Memory that a call writes may not overlap any other of its arrays: every pair of every function, twice, with everything
 * as it was. tests/c_surface.rs demands a line with all of a function's arrays for each one that writes any. */

#include "check.h"

enum { MOST = 12, ROOM = 256 };

/* Where the call's arrays lie: `at[i]` is the memory of the i-th name, which ends with `!` if the call writes it and starts
 * with `@` if it is memory of a handle, which stays where it is. */
static union {
  double aligned;
  unsigned char bytes[MOST][ROOM];
} memory, kept;
static unsigned char *at[MOST];
static const void *handle_memory[2];
static size_t handle_bytes[2];
static unsigned char handle_kept[2][ROOM];
static char names[MOST][32];
static int written[MOST], fixed[MOST], count, first, second;

static void start(const char *list) {
  int i;
  for (count = 0; *list != '\0'; ++count) {
    size_t len;
    fixed[count] = *list == '@';
    list += fixed[count];
    len = strcspn(list, ",!");
    if (count == MOST || len >= sizeof names[0]) exit(1);
    memcpy(names[count], list, len);
    names[count][len] = '\0';
    list += len;
    written[count] = fixed[count] || *list == '!';
    list += strspn(list, "!");
    list += strspn(list, ", ");
  }
  for (i = 0; i < MOST; ++i) {
    memset(memory.bytes[i], 1, ROOM);
    memory.bytes[i][ROOM - 1] = 0; /* as a text it ends */
  }
  first = -1, second = 0;
}

/* Puts the next pair in one place. */
static int next(void) {
  int i;
  do {
    if (++first >= second) first = 0, ++second;
    if (second >= count) return 0;
  } while ((fixed[first] && fixed[second]) || !(written[first] || written[second]));
  for (i = 0; i < count; ++i)
    if (!fixed[i]) at[i] = memory.bytes[i];
    else at[i] = (unsigned char *)handle_memory[i];
  at[second] = at[first];
  return 1;
}

static void keep(void) {
  int i;
  kept = memory;
  for (i = 0; i < 2; ++i)
    if (handle_bytes[i] > 0) memcpy(handle_kept[i], handle_memory[i], handle_bytes[i]);
}

static void check(const char *call, srnn_status status) {
  char one[80], other[80];
  int i, same = memcmp(&kept, &memory, sizeof kept) == 0;
  for (i = 0; i < 2; ++i)
    if (handle_bytes[i] > 0) same = same && memcmp(handle_kept[i], handle_memory[i], handle_bytes[i]) == 0;
  snprintf(one, sizeof one, "%s overlaps %s,", names[first], names[second]);
  snprintf(other, sizeof other, "%s overlaps %s,", names[second], names[first]);
  ++misuses;
  if (status != SRNN_ERROR_INVALID_ARGUMENT || !same ||
      (strstr(err.message, one) == NULL && strstr(err.message, other) == NULL)) {
    ++failures;
    printf("%s: %s with %s: %s '%s'%s\n", call, names[first], names[second], srnn_status_string(status), err.message,
           same ? "" : ", and something is written");
  }
}

#define PAIRS(list, setup, call)       \
  for (start(list); next();) {         \
    setup;                             \
    keep();                            \
    check(#call, call);                \
    check(#call, call);                \
  }
#define NOTHING ((void)0)

/* The i-th array. */
#define F(i) ((float *)(void *)at[i])
#define D(i) ((double *)(void *)at[i])
#define Z(i) ((size_t *)(void *)at[i])
#define U(i) ((uint32_t *)(void *)at[i])
#define C(i) ((char *)at[i])
#define P(i) ((void *)at[i])

static void save(const char *path, const char *text) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  if (file == NULL) exit(1);
  fputs(text, file);
  fclose(file);
}

static void own(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
  handle_memory[0] = a, handle_bytes[0] = a_bytes;
  handle_memory[1] = b, handle_bytes[1] = b_bytes;
}

/* A module of the caller's own parameters at one place, its gradients at another. */
static void place_module(int module, int grads) {
  static float values[2];
  srnn_module m;
  srnn_module_init(&m);
  m.values = values;
  m.grads = F(grads);
  m.values_len = m.grads_len = 2;
  memcpy(at[module], &m, sizeof m);
}

static void recurrent(void) {
  enum { IN = 2, HIDDEN = 3 };
  srnn_rnn *rnn = make_rnn(SRNN_CELL_LSTM, IN, HIDDEN, 1, SRNN_DIRECTION_FORWARD);
  srnn_session *session = make_session();
  srnn_embedding *embedding;
  srnn_gradient_flow *flow;
  srnn_grads *grads;
  srnn_stream *stream;
  srnn_tape *tape;
  srnn_truncated_bptt *bptt;
  srnn_forward_args batch;
  srnn_forward_args args;
  srnn_backward_args back;
  srnn_state from;
  srnn_state_out to;
  float *values, x[IN] = {1, 2}, y[HIDDEN];
  size_t len;
  srnn_forward_args_init(&batch, 1, 1);
  OK(srnn_embedding_create(4, IN, -1, &embedding, &err));
  OK(srnn_gradient_flow_create(&flow, &err));
  OK(srnn_grads_create(rnn, &grads, &err));
  OK(srnn_stream_create(rnn, 1, &stream, &err));
  OK(srnn_tape_create(&tape, &err));
  OK(srnn_truncated_bptt_create(rnn, 1, 1, 1, &bptt, &err));
  OK(run_forward_train(rnn, session, tape, &batch, 0, x, IN, NULL, y, HIDDEN, NULL, &err));
  OK(run_backward(rnn, session, tape, y, HIDDEN, NULL, NULL, 0, NULL, grads, flow, &err));
  OK(srnn_truncated_bptt_forward(bptt, rnn, session, 1, 0, x, IN, y, HIDDEN, &err));
  OK(srnn_grads_data(grads, &values, &len, &err));
  srnn_forward_args_init(&args, 1, 1);
  srnn_backward_args_init(&back);
#define STATES(a, b)                                   \
  (srnn_state_init(&from, F(a), HIDDEN, F(a + 1), HIDDEN), srnn_state_out_init(&to, F(b), HIDDEN, F(b + 1), HIDDEN))
/* What is written is shorter than what is read, since states may be updated in place. */
#define ARGS                                                                                                \
  (args.lengths = Z(0), args.lengths_len = 1, args.x = F(1), args.x_len = IN, args.embedding = embedding,   \
   args.indices = U(2), args.indices_len = 1, args.y = F(3), args.y_len = HIDDEN, args.h0 = F(4),           \
   args.h0_len = HIDDEN, args.c0 = F(5), args.c0_len = HIDDEN, args.hn = F(6), args.hn_len = HIDDEN - 1,    \
   args.cn = F(7), args.cn_len = HIDDEN - 1)
#define BACK                                                                                                \
  (back.dy = F(1), back.dy_len = HIDDEN, back.dhn = F(2), back.dhn_len = HIDDEN, back.dcn = F(3),           \
   back.dcn_len = HIDDEN, back.dx = F(4), back.dx_len = IN, back.dh0 = F(5), back.dh0_len = HIDDEN,         \
   back.dc0 = F(6), back.dc0_len = HIDDEN, back.grads = grads, back.flow = flow)

  PAIRS("rows!, cols!, ndim!", NOTHING, srnn_rnn_param_shape(rnn, 0, Z(0), Z(1), Z(2), &err));
  PAIRS("name, index!", NOTHING, srnn_rnn_find_param(rnn, C(0), Z(1), &err));
  PAIRS("lengths, x, indices, y!, h0, c0, hn!, cn!", ARGS, srnn_rnn_forward(rnn, session, tape, &args, &err));
  PAIRS("low!, high!", NOTHING, srnn_gradient_flow_saturation(flow, 0, 0, F(0), F(1), &err));
  PAIRS("state.h!, state.c!", STATES(0, 0), srnn_stream_get_state(stream, &to, &err));
  PAIRS("state.h!, state.c!", STATES(0, 0), srnn_truncated_bptt_get_state(bptt, &to, &err));
  PAIRS("x, y!", NOTHING, srnn_stream_step(stream, rnn, F(0), IN, F(1), HIDDEN, &err));
  PAIRS("x, y!", NOTHING, srnn_stream_process(stream, rnn, 1, F(0), IN, F(1), HIDDEN, &err));
  PAIRS("x, y!", NOTHING, srnn_truncated_bptt_forward(bptt, rnn, session, 1, 0, F(0), IN, F(1), HIDDEN, &err));
  own(values, ROOM, NULL, 0);
  CHECK(len * sizeof *values >= ROOM);
  PAIRS("@grads, dy, dhn, dcn, dx!, dh0!, dc0!", BACK, srnn_rnn_backward(rnn, session, tape, &back, &err));
  PAIRS("@grads, dy, dx!", NOTHING,
        srnn_truncated_bptt_backward(bptt, rnn, session, F(1), HIDDEN, F(2), IN, grads, &err));
  PAIRS("@grads, data!, data_len!", NOTHING, srnn_grads_data(grads, P(1), Z(2), &err));
  PAIRS("@grads, values!", NOTHING, srnn_grads_read_param(grads, 0, F(1), 4 * HIDDEN * IN, &err));
  own(NULL, 0, NULL, 0);

  /* The handles are as good as before. */
  OK(srnn_truncated_bptt_backward(bptt, rnn, session, y, HIDDEN, NULL, 0, grads, &err));
  OK(srnn_stream_step(stream, rnn, x, IN, F(0), HIDDEN, &err));
  CHECK(same_bits(y, F(0), HIDDEN));
  srnn_truncated_bptt_destroy(bptt);
  srnn_tape_destroy(tape);
  srnn_stream_destroy(stream);
  srnn_grads_destroy(grads);
  srnn_gradient_flow_destroy(flow);
  srnn_embedding_destroy(embedding);
  srnn_session_destroy(session);
  srnn_rnn_destroy(rnn);
}

static void layers(void) {
  srnn_session *session = make_session();
  srnn_dense *dense;
  srnn_embedding *embedding;
  srnn_embedding_grads *grads;
  srnn_optimizer_config config;
  srnn_optimizer *optimizer;
  const uint32_t *rows, index = 3;
  float *values;
  const float dy[2] = {1, 2};
  size_t rows_len, values_len;
  OK(srnn_dense_create(2, 3, 1, &dense, &err));
  OK(srnn_embedding_create(4, 2, -1, &embedding, &err));
  OK(srnn_embedding_grads_create(embedding, &grads, &err));
  OK(srnn_embedding_grads_add(grads, &index, 1, dy, 2, &err));
  OK(srnn_embedding_grads_data(grads, &rows, &rows_len, &values, &values_len, &err));
  srnn_optimizer_config_init(&config, SRNN_OPTIMIZER_SGD);
  OK(srnn_optimizer_create(&config, &optimizer, &err));
  OK(srnn_optimizer_begin_step(optimizer, &err));

  PAIRS("x, y!", NOTHING, srnn_dense_forward(dense, session, F(0), 2, F(1), 3, &err));
  PAIRS("x, dy, dx!, grads!", NOTHING,
        srnn_dense_backward(dense, session, F(0), 2, F(1), 3, F(2), 2, F(3), 9, &err));
  PAIRS("indices, y!", NOTHING, srnn_embedding_forward(embedding, U(0), 1, F(1), 2, &err));
  own(rows, sizeof *rows, values, 2 * sizeof *values);
  PAIRS("@grads.rows, @grads.values, indices, dy", NOTHING, srnn_embedding_grads_add(grads, U(2), 1, F(3), 2, &err));
  PAIRS("@grads.rows, @grads.values, rows!, rows_len!, values!, values_len!", NOTHING,
        srnn_embedding_grads_data(grads, P(2), Z(3), P(4), Z(5), &err));
  own(NULL, 0, NULL, 0);
  PAIRS("modules, an array of a module!", place_module(0, 1), srnn_modules_zero_grad(P(0), 1, &err));
  PAIRS("modules, an array of a module!, norm!", place_module(0, 1),
        srnn_modules_clip_grad_norm(P(0), 1, 1, 1, D(2), &err));
  PAIRS("modules, an array of a module!", place_module(0, 1), srnn_optimizer_step(optimizer, P(0), 1, &err));
  PAIRS("values!, grads", NOTHING, srnn_optimizer_update(optimizer, 0, F(0), 2, F(1), 2, &err));
  srnn_optimizer_destroy(optimizer);
  srnn_embedding_grads_destroy(grads);
  srnn_embedding_destroy(embedding);
  srnn_dense_destroy(dense);
  srnn_session_destroy(session);
}

static void functions(void) {
  srnn_loss_options options;
  srnn_loss_options_init(&options);
#define WEIGHTS (options.weight = F(0), options.weight_len = 2)
#define POINTERS (*(void **)P(0) = P(1), *Z(2) = 2)
  PAIRS("x, y!", NOTHING, srnn_softmax(2, F(0), 2, F(1), 2, &err));
  PAIRS("x, y!", NOTHING, srnn_log_softmax(2, F(0), 2, F(1), 2, &err));
  PAIRS("y, d!", NOTHING, srnn_sigmoid_backward(F(0), 2, F(1), 2, &err));
  PAIRS("y, d!", NOTHING, srnn_tanh_backward(F(0), 2, F(1), 2, &err));
  PAIRS("y, d!", NOTHING, srnn_relu_backward(F(0), 2, F(1), 2, &err));
  PAIRS("weight, logits, targets, loss!, dlogits!", WEIGHTS,
        srnn_cross_entropy(&options, 2, F(1), 2, P(2), 1, D(3), F(4), 2, &err));
  PAIRS("weight, logits, targets, loss!, dlogits!", WEIGHTS,
        srnn_bce_with_logits(&options, 2, F(1), 2, F(2), 2, D(3), F(4), 2, &err));
  PAIRS("prediction, target, loss!, dprediction!", NOTHING,
        srnn_mse_loss(NULL, F(0), 2, F(1), 2, D(2), F(3), 2, &err));
  PAIRS("grads, an array of grads, lengths, norm!", POINTERS, srnn_grad_norm(P(0), Z(2), 1, D(3), &err));
  PAIRS("grads, an array of grads!, lengths, norm!", POINTERS, srnn_clip_grad_norm(P(0), Z(2), 1, 1, 1, D(3), &err));
  PAIRS("grads, an array of grads!, lengths", POINTERS, srnn_clip_grad_value(P(0), Z(2), 1, 1, &err));
}

static void texts(void) {
  srnn_batches *batches;
  srnn_classifier_config config;
  srnn_vectors_options options;
  srnn_classifier *classifier;
  srnn_classifier_session *session;
  srnn_dataset *dataset;
  srnn_dataset_options layout;
  srnn_optimizer_config sgd;
  srnn_tensor_file *file;
  srnn_tensor_writer *writer;
  srnn_trainer *trainer;
  srnn_vocab *vocab;
  const size_t shape[1] = {1};
  const float value[1] = {1};
  save("overlap.tsv", "a\tone\nb\ttwo\n");
  OK(srnn_dataset_open_train("overlap.tsv", NULL, NULL, &dataset, &vocab, &err));
  OK(srnn_batches_create(dataset, 2, 1, 0, &batches, &err));
  srnn_classifier_config_init(&config);
  config.embedding_dim = config.hidden_size = 2;
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &classifier, &err));
  OK(srnn_classifier_session_create(&session, &err));
  srnn_optimizer_config_init(&sgd, SRNN_OPTIMIZER_SGD);
  OK(srnn_trainer_create(classifier, &sgd, 1, 1, &trainer, &err));
  OK(srnn_tensor_writer_create(&writer, &err));
  OK(srnn_tensor_writer_add(writer, "w", shape, 1, value, 1, &err));
  OK(srnn_tensor_writer_add_metadata(writer, "k", "value", &err));
  OK(srnn_tensor_writer_save(writer, "overlap.safetensors", NULL, &err));
  OK(srnn_tensor_file_open("overlap.safetensors", &file, &err));

  PAIRS("path, file!", NOTHING, srnn_tensor_file_open(C(0), P(1), &err));
  PAIRS("bytes, name, file!", NOTHING,
        srnn_tensor_file_open_memory((const uint8_t *)C(0), ROOM, C(1), P(2), &err));
  PAIRS("text!, text_len!", NOTHING, srnn_tensor_file_name(file, 0, C(0), ROOM, Z(1), &err));
  PAIRS("name, shape!, ndim!", strcpy(C(0), "w"), srnn_tensor_file_shape(file, C(0), Z(1), 1, Z(2), &err));
  PAIRS("name, values!", strcpy(C(0), "w"), srnn_tensor_file_read(file, C(0), NULL, F(1), 1, &err));
  PAIRS("key, text!, text_len!", strcpy(C(0), "k"), srnn_tensor_file_metadata(file, C(0), C(1), ROOM, Z(2), &err));
  PAIRS("words, a word, vocab!", *(void **)P(0) = P(1), srnn_vocab_create(P(0), 1, 1, 0, P(2), &err));
  PAIRS("word, id!", NOTHING, srnn_vocab_id(vocab, C(0), U(1), &err));
  PAIRS("text!, text_len!", NOTHING, srnn_vocab_word(vocab, 0, C(0), ROOM, Z(1), &err));
  PAIRS("text, ids!, count!", NOTHING, srnn_vocab_encode(vocab, C(0), U(1), 8, Z(2), &err));
  PAIRS("lowercase!, nfc!", NOTHING, srnn_vocab_get_normalization(vocab, P(0), P(1), &err));
  srnn_dataset_options_init(&layout);
  layout.header = 1;
  PAIRS("path, label_name, text_name, dataset!, vocab!", (layout.label_name = C(1), layout.text_name = C(2)),
        srnn_dataset_open_train(C(0), &layout, NULL, P(3), P(4), &err));
  PAIRS("text!, text_len!", NOTHING, srnn_dataset_skip_reason(dataset, C(0), ROOM, Z(1), &err));
  PAIRS("text!, text_len!", NOTHING, srnn_dataset_label(dataset, 0, C(0), ROOM, Z(1), &err));
  PAIRS("tokens!, tokens_len!", NOTHING, srnn_dataset_tokens(dataset, 0, P(0), Z(1), &err));
  PAIRS("targets!, targets_len!", NOTHING, srnn_dataset_targets(dataset, 0, P(0), Z(1), &err));
  PAIRS("examples!, examples_len!", NOTHING, srnn_batches_get(batches, 0, P(0), Z(1), &err));
  PAIRS("path, classifier!", NOTHING, srnn_classifier_open(C(0), P(1), &err));
  PAIRS("text!, text_len!", NOTHING, srnn_classifier_label(classifier, 0, C(0), ROOM, Z(1), &err));
  PAIRS("path, label_name, text_name, dataset!", (layout.label_name = C(1), layout.text_name = C(2)),
        srnn_dataset_open(classifier, C(0), &layout, P(3), &err));
  PAIRS("text, probabilities!", NOTHING, srnn_classifier_classify(classifier, session, C(0), F(1), 2, &err));
  PAIRS("path, trainer!, classifier!, position!", NOTHING, srnn_trainer_open(C(0), P(1), P(2), P(3), &err));
  PAIRS("examples, report!", NOTHING, srnn_trainer_step(trainer, classifier, dataset, U(0), 1, P(1), &err));
  srnn_vectors_options_init(&options);
  PAIRS("path, member, coverage!", options.member = C(1),
        srnn_classifier_load_vectors(classifier, C(0), NULL, &options, P(2), &err));

  PAIRS("probabilities, thresholds!", NOTHING, srnn_dataset_best_thresholds(dataset, F(0), 4, F(1), 2, &err));

  srnn_tensor_file_destroy(file);
  srnn_tensor_writer_destroy(writer);
  srnn_trainer_destroy(trainer);
  srnn_classifier_session_destroy(session);
  srnn_classifier_destroy(classifier);
  srnn_batches_destroy(batches);
  srnn_vocab_destroy(vocab);
  srnn_dataset_destroy(dataset);
  CHECK(remove("overlap.tsv") == 0 && remove("overlap.safetensors") == 0);
}

static void word_vectors(void) {
  static const char *const words[1] = {"one"};
  srnn_coverage *coverage;
  srnn_embedding *embedding;
  srnn_vectors *vectors;
  srnn_vectors_options options;
  srnn_vocab *vocab;
  save("overlap.vectors", "one 1 0\ntwo 3 4\n");
  OK(srnn_vectors_open("overlap.vectors", NULL, &vectors, &err));
  OK(srnn_vocab_create(words, 1, 1, 0, &vocab, &err));
  OK(srnn_embedding_open_vectors("overlap.vectors", vocab, NULL, 0, NULL, &embedding, &coverage, &err));
  srnn_vectors_options_init(&options);
  PAIRS("path, member, vectors!", options.member = C(1), srnn_vectors_open(C(0), &options, P(2), &err));
  PAIRS("text!, text_len!", NOTHING, srnn_vectors_word(vectors, 0, C(0), ROOM, Z(1), &err));
  PAIRS("word, index!", NOTHING, srnn_vectors_find(vectors, C(0), Z(1), &err));
  PAIRS("word, values!", NOTHING, srnn_vectors_get(vectors, C(0), F(1), 2, &err));
  PAIRS("query, without, indices!, similarities!, count!", NOTHING,
        srnn_vectors_nearest(vectors, F(0), 2, Z(1), 1, Z(2), 1, F(3), 1, Z(4), &err));
  PAIRS("queries, without, indices!, similarities!, counts!", NOTHING,
        srnn_vectors_nearest_batch(vectors, F(0), 2, Z(1), 1, Z(2), 1, F(3), 1, Z(4), 1, &err));
  PAIRS("plus, minus, indices!, similarities!, count!", NOTHING,
        srnn_vectors_analogy(vectors, Z(0), 1, Z(1), 1, Z(2), 1, F(3), 1, Z(4), &err));
  PAIRS("path, counts, member, embedding!, coverage!", options.member = C(2),
        srnn_embedding_open_vectors(C(0), vocab, P(1), 3, &options, P(3), P(4), &err));
  PAIRS("ids!, count!", NOTHING, srnn_coverage_missing(coverage, U(0), 1, Z(1), &err));
  srnn_coverage_destroy(coverage);
  srnn_embedding_destroy(embedding);
  srnn_vocab_destroy(vocab);
  srnn_vectors_destroy(vectors);
  CHECK(remove("overlap.vectors") == 0);
}

int main(void) {
  recurrent();
  layers();
  functions();
  texts();
  word_vectors();
  return finish();
}

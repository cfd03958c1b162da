/* Training runs: they go on from a file bit for bit; what is not finite stops, is left out, or goes on. */

#include "check.h"

#define DATA "capi_training.tsv"
#define RUN "capi_training.safetensors"
#define NO_FILE "no_such_directory/file"

static srnn_dataset *dataset;
static srnn_vocab *vocab;

static void read_data(void) {
  FILE *file = fopen(DATA, "wb");
  CHECK(file != NULL);
  if (file == NULL) return;
  fputs("pos\ta good film\nneg\ta bad film\npos\tgood good\nneg\tbad and bad\npos\tsuch good work\nneg\tbad work\n", file);
  fclose(file);
  OK(srnn_dataset_open_train(DATA, NULL, NULL, &dataset, &vocab, &err));
}

static srnn_classifier *make_classifier(void) {
  srnn_classifier_config config;
  srnn_classifier *c;
  srnn_classifier_config_init(&config);
  config.embedding_dim = 4;
  config.hidden_size = 5;
  config.num_layers = 2;
  config.dropout = 0.25f;
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &c, &err));
  return c;
}

static srnn_trainer *make_trainer(const srnn_classifier *c, int kind, double lr, double weight_decay, int non_finite) {
  srnn_optimizer_config config;
  srnn_trainer *t;
  srnn_optimizer_config_init(&config, kind);
  config.lr = lr;
  config.weight_decay = weight_decay;
  config.non_finite = non_finite;
  OK(srnn_trainer_create(c, &config, 1, 7, &t, &err));
  return t;
}

/* Batches from `position` on to the end of the second epoch; the last loss. */
static double go_on(srnn_trainer *t, srnn_classifier *c, srnn_training_position *position) {
  srnn_batches *b;
  srnn_step_report report = {0};
  const uint32_t *examples;
  size_t n;
  while (position->epoch < 2) {
    OK(srnn_batches_create(dataset, (size_t)position->batch_size, position->seed, position->epoch, &b, &err));
    for (; position->batch < srnn_batches_count(b); ++position->batch) {
      OK(srnn_batches_get(b, (size_t)position->batch, &examples, &n, &err));
      OK(srnn_trainer_step(t, c, dataset, examples, n, &report, &err));
    }
    srnn_batches_destroy(b);
    ++position->epoch;
    position->batch = 0;
  }
  return report.loss;
}

static void resume(void) {
  srnn_classifier *c = make_classifier(), *again, *plain, *none = NULL;
  srnn_classifier_session *s;
  srnn_trainer *t = make_trainer(c, SRNN_OPTIMIZER_ADAM, 0.05, 0, SRNN_NON_FINITE_SKIP), *back, *no_trainer = NULL;
  srnn_training_position position = {0}, found, untouched;
  srnn_optimizer_config config;
  srnn_step_report report;
  const uint32_t examples[2] = {0, 3};
  double loss;
  float p[2], q[2];
  position.batch_size = 2;
  position.seed = 5;
  CHECK(srnn_trainer_step_count(t) == 0 && srnn_trainer_step_count(NULL) == 0 && srnn_trainer_skipped_count(NULL) == 0);
  CHECK(srnn_trainer_lr(t) == 0.05 && srnn_trainer_lr(NULL) == 0);
  OK(srnn_trainer_step(t, c, dataset, examples, 2, &report, &err));
  position.batch = 1; /* the middle of an epoch */
  OK(srnn_trainer_set_lr(t, 0.03, &err));
  OK(srnn_trainer_save(t, c, &position, RUN, &err));
  OK(srnn_trainer_open(RUN, &back, &again, &found, &err));
  CHECK(memcmp(&found, &position, sizeof found) == 0);
  CHECK(srnn_trainer_step_count(back) == 1 && srnn_trainer_lr(back) == 0.03);
  OK(srnn_trainer_get_optimizer_config(back, &config, &err));
  CHECK(config.struct_size == sizeof config && config.kind == SRNN_OPTIMIZER_ADAM && config.lr == 0.03);
  CHECK(config.beta2 == 0.999 && config.non_finite == SRNN_NON_FINITE_SKIP);
  loss = go_on(t, c, &position);
  CHECK(go_on(back, again, &found) == loss && found.epoch == 2);
  OK(srnn_classifier_session_create(&s, &err));
  OK(srnn_classifier_classify(c, s, "good and bad", p, 2, &err));
  OK(srnn_classifier_classify(again, s, "good and bad", q, 2, &err));
  CHECK(same_bits(p, q, 2));
  OK(srnn_trainer_save(t, c, NULL, RUN, &err));
  OK(srnn_classifier_open(RUN, &plain, &err));
  OK(srnn_classifier_classify(plain, s, "good and bad", q, 2, &err));
  CHECK(same_bits(p, q, 2));

  memset(&untouched, 0xff, sizeof untouched);
  found = untouched;
  IS_NULL("trainer", srnn_trainer_save(NULL, c, &position, RUN, &err));
  IS_NULL("classifier", srnn_trainer_save(t, NULL, &position, RUN, &err));
  IS_NULL("path", srnn_trainer_save(t, c, &position, NULL, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_trainer_save(t, c, &position, NO_FILE, &err));
  BAD_ARGUMENT("reserved", srnn_trainer_save(t, c, &untouched, RUN, &err));
  IS_NULL("path", srnn_trainer_open(NULL, &no_trainer, &none, &found, &err));
  IS_NULL("trainer", srnn_trainer_open(RUN, NULL, &none, &found, &err));
  IS_NULL("classifier", srnn_trainer_open(RUN, &no_trainer, NULL, &found, &err));
  REFUSED(SRNN_ERROR_IO, NO_FILE, srnn_trainer_open(NO_FILE, &no_trainer, &none, &found, &err));
  REFUSED(SRNN_ERROR_INVALID_DATA, DATA, srnn_trainer_open(DATA, &no_trainer, &none, &found, &err));
  OK(srnn_classifier_save(c, RUN, &err));
  REFUSED(SRNN_ERROR_NOT_FOUND, "training run", srnn_trainer_open(RUN, &no_trainer, &none, &found, &err));
  CHECK(no_trainer == NULL && none == NULL && memcmp(&found, &untouched, sizeof found) == 0);
  IS_NULL("trainer", srnn_trainer_get_optimizer_config(NULL, &config, &err));
  IS_NULL("config", srnn_trainer_get_optimizer_config(t, NULL, &err));
  srnn_classifier_session_destroy(s);
  srnn_trainer_destroy(t);
  srnn_trainer_destroy(back);
  srnn_classifier_destroy(c);
  srnn_classifier_destroy(again);
  srnn_classifier_destroy(plain);
}

/* A step takes the weights out of what floats hold: the next one has no finite loss. */
static void not_finite(int non_finite, srnn_status expected, uint64_t steps, uint64_t skipped) {
  srnn_classifier *c = make_classifier();
  srnn_trainer *t = make_trainer(c, SRNN_OPTIMIZER_SGD, 3e38, 3e38, non_finite);
  srnn_step_report report;
  const uint32_t examples[3] = {0, 1, 3};
  int i;
  OK(srnn_trainer_step(t, c, dataset, examples, 3, &report, &err));
  CHECK(report.skipped == 0);
  for (i = 0; i < 2; ++i) {
    if (expected == SRNN_OK) {
      OK(srnn_trainer_step(t, c, dataset, examples, 3, &report, &err));
      CHECK(report.skipped == (skipped != 0) && report.loss != report.loss);
    } else {
      REFUSED(SRNN_ERROR_NON_FINITE, "no step was taken", srnn_trainer_step(t, c, dataset, examples, 3, &report, &err));
    }
  }
  CHECK(srnn_trainer_step_count(t) == steps && srnn_trainer_skipped_count(t) == skipped);
  srnn_trainer_destroy(t);
  srnn_classifier_destroy(c);
}

/* Other shapes, labels and words than the trainer's, each twice; then all goes on as if nothing had been tried. */
static void refused(void) {
  srnn_classifier *c = make_classifier(), *d = make_classifier(), *other;
  srnn_trainer *t = make_trainer(c, SRNN_OPTIMIZER_ADAM, 0.05, 0, SRNN_NON_FINITE_STOP);
  srnn_trainer *u = make_trainer(c, SRNN_OPTIMIZER_ADAM, 0.05, 0, SRNN_NON_FINITE_STOP);
  srnn_classifier_config config;
  srnn_step_report a, b;
  const uint32_t examples[3] = {0, 1, 5};
  int i;
  srnn_classifier_config_init(&config);
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &other, &err));
  for (i = 0; i < 4; ++i) {
    BAD_SHAPE("expected", srnn_trainer_step(t, other, dataset, examples, 3, &a, &err));
    BAD_ARGUMENT("empty", srnn_trainer_step(t, c, dataset, examples, 0, &a, &err));
    OK(srnn_trainer_step(t, c, dataset, examples, 3, &a, &err));
    OK(srnn_trainer_step(u, d, dataset, examples, 3, &b, &err));
    CHECK(a.loss == b.loss && a.grad_norm == b.grad_norm);
  }
  srnn_trainer_destroy(t);
  srnn_trainer_destroy(u);
  srnn_classifier_destroy(c);
  srnn_classifier_destroy(d);
  srnn_classifier_destroy(other);
}

/* Of each text the first two tokens are read, and a count tells of it. */
static void cut(void) {
  srnn_classifier_config config;
  srnn_classifier *c;
  srnn_classifier_session *s;
  srnn_trainer *t;
  srnn_step_report report;
  const uint32_t examples[3] = {0, 2, 4}; /* of 3, 2 and 3 tokens */
  float p[2], q[2];
  srnn_classifier_config_init(&config);
  config.max_tokens = 2;
  OK(srnn_classifier_create(&config, vocab, dataset, 1, &c, &err));
  OK(srnn_classifier_session_create(&s, &err));
  t = make_trainer(c, SRNN_OPTIMIZER_ADAM, 0.05, 0, SRNN_NON_FINITE_STOP);
  OK(srnn_trainer_step(t, c, dataset, examples, 3, &report, &err));
  CHECK(report.tokens == 6 && report.truncated == 2);
  OK(srnn_classifier_classify(c, s, "a good", p, 2, &err));
  CHECK(srnn_classifier_session_truncated_count(s) == 0 && srnn_classifier_session_truncated_count(NULL) == 0);
  OK(srnn_classifier_classify(c, s, "a good bad bad", q, 2, &err));
  CHECK(same_bits(p, q, 2) && srnn_classifier_session_truncated_count(s) == 1);
  srnn_trainer_destroy(t);
  srnn_classifier_session_destroy(s);
  srnn_classifier_destroy(c);
}

/* A plain optimizer makes the same choice, slot by slot. */
static void plain(void) {
  static const int kinds[4] = {SRNN_OPTIMIZER_SGD, SRNN_OPTIMIZER_ADAM, SRNN_OPTIMIZER_ADAMW, SRNN_OPTIMIZER_RMSPROP};
  srnn_optimizer_config config;
  srnn_optimizer *o, *none = NULL;
  float p[2], g[2] = {1, (float)INFINITY};
  int kind, i;
  for (kind = 0; kind < 4; ++kind) {
    for (i = 0; i < 3; ++i) {
      p[0] = p[1] = 1;
      srnn_optimizer_config_init(&config, kinds[kind]);
      CHECK(config.non_finite == SRNN_NON_FINITE_STOP);
      config.non_finite = i;
      OK(srnn_optimizer_create(&config, &o, &err));
      OK(srnn_optimizer_begin_step(o, &err));
      if (i == SRNN_NON_FINITE_STOP) {
        REFUSED(SRNN_ERROR_NON_FINITE, "slot 4", srnn_optimizer_update(o, 4, p, 2, g, 2, &err));
        REFUSED(SRNN_ERROR_NON_FINITE, "slot 4", srnn_optimizer_update(o, 4, p, 2, g, 2, &err));
      } else {
        OK(srnn_optimizer_update(o, 4, p, 2, g, 2, &err));
      }
      CHECK((p[0] == 1) == (i != SRNN_NON_FINITE_CONTINUE) && srnn_optimizer_skipped_count(o) == (i == SRNN_NON_FINITE_SKIP));
      srnn_optimizer_destroy(o);
    }
  }
  CHECK(srnn_optimizer_skipped_count(NULL) == 0);
  config.non_finite = 3;
  BAD_ARGUMENT("non_finite 3", srnn_optimizer_create(&config, &none, &err));
  CHECK(none == NULL);
}

int main(void) {
  read_data();
  resume();
  not_finite(SRNN_NON_FINITE_STOP, SRNN_ERROR_NON_FINITE, 1, 0);
  not_finite(SRNN_NON_FINITE_SKIP, SRNN_OK, 1, 2);
  not_finite(SRNN_NON_FINITE_CONTINUE, SRNN_OK, 3, 0);
  refused();
  cut();
  plain();
  srnn_dataset_destroy(dataset);
  srnn_vocab_destroy(vocab);
  CHECK(remove(DATA) == 0 && remove(RUN) == 0);
  return finish();
}

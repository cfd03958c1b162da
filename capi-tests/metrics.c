/* Scores: by hand, for one label an example and for several. */

#include "effects.h"

#define DATA "capi_metrics.tsv"

static uint64_t confused(const srnn_metrics *m, uint32_t target, uint32_t predicted) {
  uint64_t count;
  OK(srnn_metrics_confusion(m, target, predicted, &count, &err));
  return count;
}

/* What an example of two classes does to new counts. */
static uint64_t created(size_t classes, int32_t mode) {
  const uint32_t both[2] = {0, 1};
  srnn_metrics *m;
  srnn_status status;
  OK(srnn_metrics_create(classes, mode, &m, &err));
  status = srnn_metrics_add(m, both, 2, both, 2, &err);
  srnn_metrics_destroy(m);
  return (uint64_t)status;
}

static void single(void) {
  static const uint32_t pairs[6][2] = {{0, 0}, {0, 0}, {0, 1}, {1, 1}, {1, 2}, {2, 2}};
  const uint32_t nine = 9, two[2] = {0, 1};
  srnn_metrics *m, *none = NULL;
  srnn_scores s, micro, macro, weighted, other;
  uint64_t count = 77;
  double accuracy = 77;
  size_t i;
  OK(srnn_metrics_create(3, SRNN_LABEL_MODE_SINGLE, &m, &err));
  BAD_ARGUMENT("mode 2", srnn_metrics_create(3, 2, &none, &err));
  TOO_LARGE("confusion", srnn_metrics_create(SIZE_MAX, SRNN_LABEL_MODE_SINGLE, &none, &err));
  IS_NULL("metrics", srnn_metrics_create(3, 0, NULL, &err));
  CHECK(none == NULL);
  OK(srnn_metrics_accuracy(m, &accuracy, &err));
  CHECK(accuracy == 0);
  for (i = 0; i < 6; ++i) OK(srnn_metrics_add(m, pairs[i], 1, pairs[i] + 1, 1, &err));
  IS_NULL("metrics", srnn_metrics_add(NULL, pairs[0], 1, pairs[0], 1, &err));
  BAD_SHAPE("targets", srnn_metrics_add(m, two, 2, two, 1, &err));
  BAD_SHAPE("predicted", srnn_metrics_add(m, two, 1, NULL, 0, &err));
  BAD_ARGUMENT("9 (predicted)", srnn_metrics_add(m, two, 1, &nine, 1, &err));
  OK(srnn_metrics_accuracy(m, &accuracy, &err));
  CHECK(accuracy == 4 / 6.0);
  IS_NULL("metrics", srnn_metrics_accuracy(NULL, &accuracy, &err));
  IS_NULL("accuracy", srnn_metrics_accuracy(m, NULL, &err));
  OK(srnn_metrics_confusion(m, 0, 1, &count, &err));
  CHECK(count == 1);
  OK(srnn_metrics_confusion(m, 0, 0, &count, &err));
  CHECK(count == 2);
  IS_NULL("metrics", srnn_metrics_confusion(NULL, 0, 0, &count, &err));
  IS_NULL("count", srnn_metrics_confusion(m, 0, 0, NULL, &err));
  BAD_ARGUMENT("3 (true)", srnn_metrics_confusion(m, 3, 0, &count, &err));
  BAD_ARGUMENT("3 (predicted)", srnn_metrics_confusion(m, 0, 3, &count, &err));
  OK(srnn_metrics_class(m, 1, &s, &err));
  CHECK(s.precision == 0.5 && s.recall == 0.5 && s.f1 == 0.5 && s.support == 2);
  OK(srnn_metrics_class(m, 0, &other, &err));
  CHECK(other.precision == 1 && other.recall == 2 / 3.0 && other.f1 == 0.8 && other.support == 3);
  OUTPUT(srnn_scores, precision, &s, &other);
  OUTPUT(srnn_scores, recall, &s, &other);
  OUTPUT(srnn_scores, f1, &s, &other);
  OUTPUT(srnn_scores, support, &s, &other);
  memset(&other, 0xff, sizeof other);
  OK(srnn_metrics_class(m, 0, &other, &err));
  ZEROED(srnn_scores, reserved, &other);
  ARGUMENT(srnn_metrics_class, index, digest(&other, sizeof other), digest(&s, sizeof s));
  IS_NULL("metrics", srnn_metrics_class(NULL, 0, &s, &err));
  IS_NULL("scores", srnn_metrics_class(m, 0, NULL, &err));
  BAD_ARGUMENT("class 3", srnn_metrics_class(m, 3, &s, &err));
  OK(srnn_metrics_average(m, SRNN_AVERAGING_MICRO, &micro, &err));
  OK(srnn_metrics_average(m, SRNN_AVERAGING_MACRO, &macro, &err));
  OK(srnn_metrics_average(m, SRNN_AVERAGING_WEIGHTED, &weighted, &err));
  CHECK(micro.precision == accuracy && micro.recall == accuracy && micro.f1 == accuracy && micro.support == 6);
  CHECK(fabs(macro.precision - (1 + 0.5 + 0.5) / 3) < 1e-15 && fabs(macro.recall - (2 / 3.0 + 0.5 + 1) / 3) < 1e-15);
  CHECK(fabs(macro.f1 - (0.8 + 0.5 + 2 / 3.0) / 3) < 1e-15 && macro.support == 6);
  CHECK(fabs(weighted.precision - (3 + 1 + 0.5) / 6) < 1e-15 && fabs(weighted.recall - accuracy) < 1e-15);
  ARGUMENT(srnn_metrics_average, averaging, digest(&macro, sizeof macro), digest(&weighted, sizeof weighted));
  IS_NULL("metrics", srnn_metrics_average(NULL, 0, &s, &err));
  IS_NULL("scores", srnn_metrics_average(m, 0, NULL, &err));
  BAD_ARGUMENT("averaging 3", srnn_metrics_average(m, 3, &s, &err));
  ARGUMENT(srnn_metrics_confusion, target, confused(m, 0, 1), confused(m, 2, 1));
  ARGUMENT(srnn_metrics_confusion, predicted, confused(m, 0, 1), confused(m, 0, 2));
  srnn_metrics_destroy(m);
  srnn_metrics_destroy(NULL);
}

static const float p[8] = {0.9f, 0.2f, 0.4f, 0.6f, 0.3f, 0.8f, 0.7f, 0.1f};

static srnn_dataset *read(const char *text, int32_t mode) {
  FILE *file = fopen(DATA, "wb");
  srnn_dataset_options options;
  srnn_dataset *d;
  srnn_vocab *v;
  CHECK(file != NULL);
  if (file == NULL) exit(1);
  fputs(text, file);
  fclose(file);
  srnn_dataset_options_init(&options);
  options.mode = mode;
  OK(srnn_dataset_open_train(DATA, &options, NULL, &d, &v, &err));
  srnn_vocab_destroy(v);
  return d;
}

static double exact(const srnn_dataset *d, const float *thresholds, size_t len) {
  srnn_metrics *m;
  double accuracy;
  OK(srnn_metrics_create(2, SRNN_LABEL_MODE_MULTI, &m, &err));
  OK(srnn_metrics_add_dataset(m, d, p, 8, thresholds, len, &err));
  OK(srnn_metrics_accuracy(m, &accuracy, &err));
  srnn_metrics_destroy(m);
  return accuracy;
}

static void several(void) {
  static const float low[1] = {0.05f}, each[2] = {0.8f, 0.7f}, all_of_a[2] = {0.0f, 0.7f};
  srnn_dataset *multi = read("a\tx\na,b\ty\nb\tz\na\tx y\n", SRNN_LABEL_MODE_MULTI);
  srnn_dataset *one = read("a\tx\nb\ty\nb\tz\na\tx y\n", SRNN_LABEL_MODE_SINGLE);
  srnn_metrics *m, *confusion, *three;
  srnn_scores s;
  uint64_t count = 77;
  float thresholds[2] = {77, 77};
  double accuracy;
  const uint32_t a[1] = {0}, wrong[2] = {1, 0};
  /* 0.5: a; b; b; a. */
  CHECK(exact(multi, NULL, 0) == 0.75);
  CHECK(exact(multi, low, 1) == 0.25); /* all have both */
  CHECK(exact(multi, each, 2) == 0.5); /* a; nothing; b; nothing */
  OK(srnn_metrics_create(2, SRNN_LABEL_MODE_MULTI, &m, &err));
  OK(srnn_metrics_create(2, SRNN_LABEL_MODE_SINGLE, &confusion, &err));
  OK(srnn_metrics_create(3, SRNN_LABEL_MODE_SINGLE, &three, &err));
  IS_NULL("metrics", srnn_metrics_add_dataset(NULL, multi, p, 8, NULL, 0, &err));
  IS_NULL("dataset", srnn_metrics_add_dataset(m, NULL, p, 8, NULL, 0, &err));
  IS_NULL("probabilities", srnn_metrics_add_dataset(m, multi, NULL, 8, NULL, 0, &err));
  BAD_SHAPE("probabilities", srnn_metrics_add_dataset(m, multi, p, 7, NULL, 0, &err));
  BAD_SHAPE("thresholds", srnn_metrics_add_dataset(m, multi, p, 8, p, 3, &err));
  BAD_SHAPE("thresholds", srnn_metrics_add_dataset(confusion, one, p, 8, low, 1, &err));
  BAD_ARGUMENT("label mode 0 and 2 labels, expected 1 and 2", srnn_metrics_add_dataset(m, one, p, 8, NULL, 0, &err));
  BAD_ARGUMENT("expected 0 and 3", srnn_metrics_add_dataset(three, one, p, 8, NULL, 0, &err));
  BAD_ARGUMENT("ascending", srnn_metrics_add(m, a, 1, wrong, 2, &err));
  BAD_ARGUMENT("several labels", srnn_metrics_confusion(m, 0, 0, &count, &err));
  OK(srnn_metrics_average(m, SRNN_AVERAGING_MICRO, &s, &err));
  CHECK(s.support == 0 && s.f1 == 0 && count == 77);
  OK(srnn_metrics_add_dataset(m, multi, p, 8, NULL, 0, &err));
  OK(srnn_metrics_class(m, 0, &s, &err));
  CHECK(s.precision == 1 && s.recall == 2 / 3.0 && s.support == 3);
  OK(srnn_metrics_add(m, a, 1, wrong, 1, &err));
  OK(srnn_metrics_class(m, 1, &s, &err));
  CHECK(s.precision == 2 / 3.0 && s.recall == 1 && s.support == 2);
  OK(srnn_metrics_add_dataset(confusion, one, p, 8, NULL, 0, &err));
  OK(srnn_metrics_accuracy(confusion, &accuracy, &err));
  CHECK(accuracy == 1 && confused(confusion, 1, 1) == 2);

  IS_NULL("dataset", srnn_dataset_best_thresholds(NULL, p, 8, thresholds, 2, &err));
  IS_NULL("probabilities", srnn_dataset_best_thresholds(multi, NULL, 8, thresholds, 2, &err));
  IS_NULL("thresholds", srnn_dataset_best_thresholds(multi, p, 8, NULL, 2, &err));
  BAD_SHAPE("thresholds", srnn_dataset_best_thresholds(multi, p, 8, thresholds, 1, &err));
  BAD_SHAPE("probabilities", srnn_dataset_best_thresholds(multi, p, 6, thresholds, 2, &err));
  BAD_ARGUMENT("one label", srnn_dataset_best_thresholds(one, p, 8, thresholds, 2, &err));
  CHECK(thresholds[0] == 77 && thresholds[1] == 77);
  OK(srnn_dataset_best_thresholds(multi, p, 8, thresholds, 2, &err));
  /* a: 0.9, 0.4 and 0.7 against 0.3; b: 0.6 and 0.8 against 0.2 and 0.1. */
  CHECK(fabsf(thresholds[0] - 0.35f) < 1e-6f && fabsf(thresholds[1] - 0.4f) < 1e-6f);
  CHECK(exact(multi, thresholds, 2) == 1 && exact(multi, all_of_a, 2) < 1);
  ARGUMENT(srnn_metrics_create, classes, created(2, SRNN_LABEL_MODE_MULTI), created(1, SRNN_LABEL_MODE_MULTI));
  ARGUMENT(srnn_metrics_create, mode, created(2, SRNN_LABEL_MODE_MULTI), created(2, SRNN_LABEL_MODE_SINGLE));
  srnn_metrics_destroy(three);
  srnn_metrics_destroy(confusion);
  srnn_metrics_destroy(m);
  srnn_dataset_destroy(one);
  srnn_dataset_destroy(multi);
}

int main(void) {
  single();
  several();
  CHECK(remove(DATA) == 0);
  return finish_effects();
}

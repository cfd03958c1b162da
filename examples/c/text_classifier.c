/* Trains a text classifier on a file of "label TAB text" lines, evaluates it on another, saves it, and loads it again.
 * text_classifier TRAIN.tsv TEST.tsv [EPOCHS] */

#include <simdrnn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 16, MIN_COUNT = 1, MAX_WORDS = 20000 };

static const char *const file_name = "classifier.safetensors";
static srnn_error error;

static void check(srnn_status status) {
  if (status != SRNN_OK) {
    fprintf(stderr, "%s: %s\n", srnn_status_string(status), error.message);
    exit(1);
  }
}

/* The place of the largest of `n` values. */
static size_t best(const float *values, size_t n) {
  size_t i, place = 0;
  for (i = 1; i < n; ++i)
    if (values[i] > values[place]) place = i;
  return place;
}

int main(int argc, char **argv) {
  const uint32_t epochs = argc > 3 ? (uint32_t)atoi(argv[3]) : 40;
  srnn_vocab_options words;
  srnn_classifier_config config;
  srnn_optimizer_config adam;
  srnn_dataset *train, *test;
  srnn_vocab *vocab;
  srnn_classifier *classifier, *loaded;
  srnn_classifier_session *session;
  srnn_trainer *trainer;
  srnn_step_report report;
  float *probabilities;
  char label[64];
  size_t i, n, labels, label_len, right = 0;
  uint32_t epoch;
  if (argc < 3) {
    fprintf(stderr, "usage: %s TRAIN.tsv TEST.tsv [EPOCHS]\n", argv[0]);
    return 2;
  }

  srnn_vocab_options_init(&words);
  words.min_count = MIN_COUNT;
  words.max_size = MAX_WORDS;
  check(srnn_dataset_open_train(argv[1], NULL, &words, &train, &vocab, &error));
  printf("%d texts, %d words\n", (int)srnn_dataset_example_count(train), (int)srnn_vocab_word_count(vocab));
  srnn_classifier_config_init(&config);
  config.embedding_dim = 32;
  config.hidden_size = 48;
  config.pooling = SRNN_POOLING_MAX;
  check(srnn_classifier_create(&config, vocab, train, 1, &classifier, &error));
  srnn_optimizer_config_init(&adam, SRNN_OPTIMIZER_ADAM);
  adam.lr = 6e-3;
  check(srnn_trainer_create(classifier, &adam, 1.0, 1, &trainer, &error));

  for (epoch = 0; epoch < epochs; ++epoch) {
    srnn_batches *batches;
    double loss = 0;
    size_t correct = 0;
    check(srnn_batches_create(train, BATCH, 1, epoch, &batches, &error));
    for (i = 0; i < srnn_batches_count(batches); ++i) {
      const uint32_t *examples;
      check(srnn_batches_get(batches, i, &examples, &n, &error));
      check(srnn_trainer_step(trainer, classifier, train, examples, n, &report, &error));
      loss += report.loss * (double)n;
      correct += (size_t)report.correct;
    }
    n = srnn_dataset_example_count(train);
    printf("epoch %d: loss %.4f, %.1f %% right\n", (int)epoch + 1, loss / (double)n, 100.0 * (double)correct / (double)n);
    srnn_batches_destroy(batches);
  }
  check(srnn_classifier_save(classifier, file_name, &error));

  /* From here on as another program would. */
  check(srnn_classifier_open(file_name, &loaded, &error));
  check(srnn_classifier_session_create(&session, &error));
  check(srnn_dataset_open(loaded, argv[2], NULL, &test, &error));
  n = srnn_dataset_example_count(test);
  labels = srnn_classifier_label_count(loaded);
  probabilities = malloc(n * labels * sizeof *probabilities);
  if (probabilities == NULL) return 1;
  check(srnn_classifier_predict(loaded, session, test, BATCH, probabilities, n * labels, &error));
  for (i = 0; i < n; ++i) {
    const uint32_t *targets;
    size_t count;
    check(srnn_dataset_targets(test, i, &targets, &count, &error));
    right += best(probabilities + i * labels, labels) == targets[0];
  }
  printf("test: %d of %d right\n", (int)right, (int)n);
  check(srnn_classifier_classify(loaded, session, "A tidy and pleasant shop.", probabilities, labels, &error));
  i = best(probabilities, labels);
  check(srnn_classifier_label(loaded, i, label, sizeof label, &label_len, &error));
  printf("\"A tidy and pleasant shop.\" is %s (%.2f)\n", label, probabilities[i]);

  free(probabilities);
  srnn_trainer_destroy(trainer);
  srnn_classifier_session_destroy(session);
  srnn_classifier_destroy(loaded);
  srnn_classifier_destroy(classifier);
  srnn_vocab_destroy(vocab);
  srnn_dataset_destroy(test);
  srnn_dataset_destroy(train);
  return 0;
}

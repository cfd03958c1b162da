// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Texts: vocabularies, data sets, classifiers and their training. A part of simdrnn.hpp.

#ifndef SIMDRNN_TEXT_HPP
#define SIMDRNN_TEXT_HPP

#include "training.hpp"

namespace simdrnn {

class Classifier;

class Vocab : public Handle<srnn_vocab, srnn_vocab_destroy> {
 public:
  static srnn_vocab_options options() noexcept {
    srnn_vocab_options o;
    srnn_vocab_options_init(&o);
    return o;
  }
  Result create(View<const char *const> words, bool lowercase, bool nfc = false) {
    return take([&](srnn_vocab **v, srnn_error *e) {
      return srnn_vocab_create(words.data(), words.size(), lowercase, nfc, v, e);
    });
  }
  /// How texts are normalized.
  Result get_normalization(bool &lowercase, bool &nfc) const {
    std::int32_t lower = 0, composed = 0;
    Result status = Result::of([&](srnn_error *e) { return srnn_vocab_get_normalization(get(), &lower, &composed, e); });
    if (status.ok()) lowercase = lower != 0, nfc = composed != 0;
    return status;
  }
  std::size_t word_count() const noexcept { return srnn_vocab_word_count(get()); }
  Result id(const char *word, std::uint32_t &id) const {
    return Result::of([&](srnn_error *e) { return srnn_vocab_id(get(), word, &id, e); });
  }
  Result word(std::uint32_t id, std::string &word) const {
    return read_text(word, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      return srnn_vocab_word(get(), id, text, size, len, e);
    });
  }
  /// With empty `ids` only `count` is written.
  Result encode(const char *text, View<std::uint32_t> ids, std::size_t &count) const {
    return Result::of([&](srnn_error *e) { return srnn_vocab_encode(get(), text, ids.data(), ids.size(), &count, e); });
  }

 private:
  friend class Dataset;
};

class Dataset : public Handle<srnn_dataset, srnn_dataset_destroy> {
 public:
  static srnn_dataset_options options() noexcept {
    srnn_dataset_options o;
    srnn_dataset_options_init(&o);
    return o;
  }
  /// Reads a training file and makes the vocabulary from it.
  Result open_train(const char *path, Vocab &vocab, const srnn_dataset_options *options = nullptr,
                    const srnn_vocab_options *vocab_options = nullptr) {
    return take([&](srnn_dataset **d, srnn_error *e) {
      return vocab
          .take([&](srnn_vocab **v, srnn_error *) { return srnn_dataset_open_train(path, options, vocab_options, d, v, e); })
          .code();
    });
  }
  /// Reads a file to evaluate `classifier` with, or to train it further.
  inline Result open(const Classifier &classifier, const char *path, const srnn_dataset_options *options = nullptr);
  std::size_t example_count() const noexcept { return srnn_dataset_example_count(get()); }
  /// What reading the file found.
  Result get_summary(srnn_dataset_summary &summary) const {
    return Result::of([&](srnn_error *e) { return srnn_dataset_get_summary(get(), &summary, e); });
  }
  /// Why the first line that was left out could not be used; empty if none was.
  Result skip_reason(std::string &reason) const {
    return read_text(reason, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      return srnn_dataset_skip_reason(get(), text, size, len, e);
    });
  }
  std::size_t label_count() const noexcept { return srnn_dataset_label_count(get()); }
  Result label(std::size_t index, std::string &label) const {
    return read_text(label, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      return srnn_dataset_label(get(), index, text, size, len, e);
    });
  }
  /// How many examples each label has.
  Result label_counts(View<std::uint64_t> counts) const {
    return Result::of([&](srnn_error *e) { return srnn_dataset_label_counts(get(), counts.data(), counts.size(), e); });
  }
  Result tokens(std::size_t index, View<const std::uint32_t> &tokens) const {
    return list(tokens, [&](const std::uint32_t **p, std::size_t *n, srnn_error *e) {
      return srnn_dataset_tokens(get(), index, p, n, e);
    });
  }
  Result targets(std::size_t index, View<const std::uint32_t> &targets) const {
    return list(targets, [&](const std::uint32_t **p, std::size_t *n, srnn_error *e) {
      return srnn_dataset_targets(get(), index, p, n, e);
    });
  }

 private:
  template <typename Function>
  static Result list(View<const std::uint32_t> &view, Function &&f) {
    const std::uint32_t *data = nullptr;
    std::size_t size = 0;
    Result status = Result::of([&](srnn_error *e) { return f(&data, &size, e); });
    if (status.ok()) view = {data, size};
    return status;
  }
  friend class Batches;
};

class Batches : public Handle<srnn_batches, srnn_batches_destroy> {
 public:
  Result create(const Dataset &dataset, std::size_t batch_size, std::uint64_t seed, std::uint32_t epoch) {
    return take([&](srnn_batches **b, srnn_error *e) {
      return srnn_batches_create(dataset.get(), batch_size, seed, epoch, b, e);
    });
  }
  std::size_t count() const noexcept { return srnn_batches_count(get()); }
  Result examples(std::size_t index, View<const std::uint32_t> &examples) const {
    return Dataset::list(examples, [&](const std::uint32_t **p, std::size_t *n, srnn_error *e) {
      return srnn_batches_get(get(), index, p, n, e);
    });
  }
};

class ClassifierSession : public Handle<srnn_classifier_session, srnn_classifier_session_destroy> {
 public:
  Result create() {
    return take([](srnn_classifier_session **s, srnn_error *e) { return srnn_classifier_session_create(s, e); });
  }
  /// With an empty pool: on the caller's thread alone.
  Result set_pool(const Pool &pool) {
    return Result::of([&](srnn_error *e) { return srnn_classifier_session_set_pool(get(), pool.get(), e); });
  }
  std::uint64_t truncated_count() const noexcept { return srnn_classifier_session_truncated_count(get()); }
};

class Classifier : public Handle<srnn_classifier, srnn_classifier_destroy> {
 public:
  static srnn_classifier_config config() noexcept {
    srnn_classifier_config c;
    srnn_classifier_config_init(&c);
    return c;
  }
  Result create(const srnn_classifier_config &config, const Vocab &vocab, const Dataset &dataset, std::uint64_t seed) {
    return take([&](srnn_classifier **c, srnn_error *e) {
      return srnn_classifier_create(&config, vocab.get(), dataset.get(), seed, c, e);
    });
  }
  Result open(const char *path) {
    return take([&](srnn_classifier **c, srnn_error *e) { return srnn_classifier_open(path, c, e); });
  }
  Result save(const char *path) const {
    return Result::of([&](srnn_error *e) { return srnn_classifier_save(get(), path, e); });
  }
  /// From an opened file, strictly without `options`.
  Result open(const TensorFile &file, const srnn_load_options *options = nullptr) {
    return take([&](srnn_classifier **c, srnn_error *e) { return srnn_classifier_open_tensors(file.get(), options, c, e); });
  }
  Result save(TensorWriter &writer) const {
    return Result::of([&](srnn_error *e) { return srnn_classifier_save_tensors(get(), writer.get(), e); });
  }
  /// Whether training leaves the token table as it is.
  Result set_embeddings_frozen(bool frozen) {
    return Result::of([&](srnn_error *e) { return srnn_classifier_set_embeddings_frozen(get(), frozen, e); });
  }
  std::size_t bytes() const noexcept { return srnn_classifier_bytes(get()); }
  std::size_t word_count() const noexcept { return srnn_classifier_word_count(get()); }
  std::size_t label_count() const noexcept { return srnn_classifier_label_count(get()); }
  Result label(std::size_t index, std::string &label) const {
    return read_text(label, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      return srnn_classifier_label(get(), index, text, size, len, e);
    });
  }
  Result classify(ClassifierSession &session, const char *text, FloatsOut probabilities) const {
    return Result::of([&](srnn_error *e) {
      return srnn_classifier_classify(get(), session.get(), text, probabilities.data(), probabilities.size(), e);
    });
  }
  Result predict(ClassifierSession &session, const Dataset &dataset, std::size_t batch_size,
                 FloatsOut probabilities) const {
    return Result::of([&](srnn_error *e) {
      return srnn_classifier_predict(get(), session.get(), dataset.get(), batch_size, probabilities.data(),
                              probabilities.size(), e);
    });
  }

 private:
  friend class Trainer;
};

inline Result Dataset::open(const Classifier &classifier, const char *path, const srnn_dataset_options *options) {
  return take(
      [&](srnn_dataset **d, srnn_error *e) { return srnn_dataset_open(classifier.get(), path, options, d, e); });
}

class Trainer : public Handle<srnn_trainer, srnn_trainer_destroy> {
 public:
  Result create(const Classifier &classifier, const srnn_optimizer_config &optimizer, double clip_norm,
                std::uint64_t seed) {
    return take([&](srnn_trainer **t, srnn_error *e) {
      return srnn_trainer_create(classifier.get(), &optimizer, clip_norm, seed, t, e);
    });
  }
  /// Goes on with what save wrote. `classifier` becomes the one of the file; both stay as they are after an error.
  Result open(const char *path, Classifier &classifier, srnn_training_position *position = nullptr) {
    return take([&](srnn_trainer **t, srnn_error *e) {
      return classifier
          .take([&](srnn_classifier **c, srnn_error *) { return srnn_trainer_open(path, t, c, position, e); })
          .code();
    });
  }
  /// Writes `classifier` and the state of its training; `position` is where the run stands among its batches.
  Result save(const Classifier &classifier, const srnn_training_position &position, const char *path) const {
    return Result::of([&](srnn_error *e) { return srnn_trainer_save(get(), classifier.get(), &position, path, e); });
  }
  /// With an empty pool: on the caller's thread alone.
  Result set_pool(const Pool &pool) {
    return Result::of([&](srnn_error *e) { return srnn_trainer_set_pool(get(), pool.get(), e); });
  }
  double lr() const noexcept { return srnn_trainer_lr(get()); }
  std::uint64_t step_count() const noexcept { return srnn_trainer_step_count(get()); }
  std::uint64_t skipped_count() const noexcept { return srnn_trainer_skipped_count(get()); }
  Result get_optimizer_config(srnn_optimizer_config &config) const {
    return Result::of([&](srnn_error *e) { return srnn_trainer_get_optimizer_config(get(), &config, e); });
  }
  Result set_lr(double lr) {
    return Result::of([&](srnn_error *e) { return srnn_trainer_set_lr(get(), lr, e); });
  }
  Result step(Classifier &classifier, const Dataset &dataset, View<const std::uint32_t> examples,
              srnn_step_report *report = nullptr) {
    return Result::of([&](srnn_error *e) {
      return srnn_trainer_step(get(), classifier.get(), dataset.get(), examples.data(), examples.size(), report, e);
    });
  }
};

/// Counts of true and predicted classes.
class Metrics : public Handle<srnn_metrics, srnn_metrics_destroy> {
 public:
  Result create(std::size_t classes, srnn_label_mode mode) {
    return take([&](srnn_metrics **m, srnn_error *e) { return srnn_metrics_create(classes, mode, m, e); });
  }
  Result add(View<const std::uint32_t> targets, View<const std::uint32_t> predicted) {
    return Result::of([&](srnn_error *e) {
      return srnn_metrics_add(get(), targets.data(), targets.size(), predicted.data(), predicted.size(), e);
    });
  }
  Result add(const Dataset &dataset, Floats probabilities, Floats thresholds = {}) {
    return Result::of([&](srnn_error *e) {
      return srnn_metrics_add_dataset(get(), dataset.get(), probabilities.data(), probabilities.size(), thresholds.data(),
                               thresholds.size(), e);
    });
  }
  Result scores(std::size_t index, srnn_scores &scores) const {
    return Result::of([&](srnn_error *e) { return srnn_metrics_class(get(), index, &scores, e); });
  }
  Result average(srnn_averaging averaging, srnn_scores &scores) const {
    return Result::of([&](srnn_error *e) { return srnn_metrics_average(get(), averaging, &scores, e); });
  }
  Result accuracy(double &accuracy) const {
    return Result::of([&](srnn_error *e) { return srnn_metrics_accuracy(get(), &accuracy, e); });
  }
  Result confusion(std::uint32_t target, std::uint32_t predicted, std::uint64_t &count) const {
    return Result::of([&](srnn_error *e) { return srnn_metrics_confusion(get(), target, predicted, &count, e); });
  }
};

/// For each label the threshold with the largest F1; see srnn_dataset_best_thresholds.
inline Result best_thresholds(const Dataset &dataset, Floats probabilities, FloatsOut thresholds) {
  return Result::of([&](srnn_error *e) {
    return srnn_dataset_best_thresholds(dataset.get(), probabilities.data(), probabilities.size(), thresholds.data(),
                                 thresholds.size(), e);
  });
}

}  // namespace simdrnn

#endif  // SIMDRNN_TEXT_HPP

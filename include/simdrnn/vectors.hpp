// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Word vectors. A part of simdrnn.hpp.

#ifndef SIMDRNN_VECTORS_HPP
#define SIMDRNN_VECTORS_HPP

#include "text.hpp"

namespace simdrnn {

/// What was found of a vocabulary.
class Coverage : public Handle<srnn_coverage, srnn_coverage_destroy> {
 public:
  std::size_t word_count(srnn_match kind) const noexcept { return srnn_coverage_word_count(get(), kind); }
  std::uint64_t token_count(srnn_match kind) const noexcept { return srnn_coverage_token_count(get(), kind); }
  std::uint64_t skipped_row_count() const noexcept { return srnn_coverage_skipped_row_count(get()); }
  /// Fills `ids` as far as there are missing words; `count` is how many there are.
  Result missing(View<std::uint32_t> ids, std::size_t &count) const {
    return Result::of([&](srnn_error *e) { return srnn_coverage_missing(get(), ids.data(), ids.size(), &count, e); });
  }
};

/// Makes an embedding of the vectors that the words of `vocab` have in a file; see srnn_embedding_open_vectors.
inline Result open_vectors(const char *path, const Vocab &vocab, Embedding &embedding, Coverage *coverage = nullptr,
                             const srnn_vectors_options *options = nullptr, View<const std::uint64_t> counts = {}) {
  srnn_embedding *table = nullptr;
  srnn_coverage *found = nullptr;
  Result status = Result::of([&](srnn_error *e) {
    return srnn_embedding_open_vectors(path, vocab.get(), counts.data(), counts.size(), options, &table,
                                coverage ? &found : nullptr, e);
  });
  if (status.ok()) embedding.adopt(table);
  if (status.ok() && coverage) coverage->adopt(found);
  return status;
}

/// Gives a classifier's words the vectors that they have in a file; see srnn_classifier_load_vectors.
inline Result load_vectors(Classifier &classifier, const char *path, const Dataset &dataset = {},
                              Coverage *coverage = nullptr, const srnn_vectors_options *options = nullptr) {
  srnn_coverage *found = nullptr;
  Result status = Result::of([&](srnn_error *e) {
    return srnn_classifier_load_vectors(classifier.get(), path, dataset.get(), options, coverage ? &found : nullptr, e);
  });
  if (status.ok() && coverage) coverage->adopt(found);
  return status;
}

/// Pretrained word vectors.
class Vectors : public Handle<srnn_vectors, srnn_vectors_destroy> {
 public:
  static srnn_vectors_options options() noexcept {
    srnn_vectors_options o;
    srnn_vectors_options_init(&o);
    return o;
  }
  Result open(const char *path, const srnn_vectors_options *options = nullptr) {
    return take([&](srnn_vectors **v, srnn_error *e) { return srnn_vectors_open(path, options, v, e); });
  }
  std::size_t word_count() const noexcept { return srnn_vectors_word_count(get()); }
  std::size_t dim() const noexcept { return srnn_vectors_dim(get()); }
  std::int32_t file_format() const noexcept { return srnn_vectors_file_format(get()); }
  std::uint64_t duplicate_count() const noexcept { return srnn_vectors_duplicate_count(get()); }
  std::uint64_t skipped_row_count() const noexcept { return srnn_vectors_skipped_row_count(get()); }
  Result word(std::size_t index, std::string &word) const {
    return read_text(word, [&](char *text, std::size_t size, std::size_t *len, srnn_error *e) {
      return srnn_vectors_word(get(), index, text, size, len, e);
    });
  }
  Result find(const char *word, std::size_t &index) const {
    return Result::of([&](srnn_error *e) { return srnn_vectors_find(get(), word, &index, e); });
  }
  Result get_vector(const char *word, FloatsOut values) const {
    return Result::of([&](srnn_error *e) { return srnn_vectors_get(get(), word, values.data(), values.size(), e); });
  }
  Result similarity(std::size_t a, std::size_t b, float &similarity) const {
    return Result::of([&](srnn_error *e) { return srnn_vectors_similarity(get(), a, b, &similarity, e); });
  }
  /// For the searches below; with an empty pool: on the caller's thread alone.
  Result set_pool(const Pool &pool) {
    return Result::of([&](srnn_error *e) { return srnn_vectors_set_pool(get(), pool.get(), e); });
  }
  Result nearest(Floats query, View<std::size_t> indices, FloatsOut similarities, std::size_t &count,
                 View<const std::size_t> without = {}) const {
    return Result::of([&](srnn_error *e) {
      return srnn_vectors_nearest(get(), query.data(), query.size(), without.data(), without.size(),
                           indices.data(), indices.size(), similarities.data(), similarities.size(), &count, e);
    });
  }
  /// Neighbours of several queries, `counts.size()` of them; see srnn_vectors_nearest_batch.
  Result nearest_batch(Floats queries, View<std::size_t> indices, FloatsOut similarities, View<std::size_t> counts,
                       View<const std::size_t> without = {}) const {
    return Result::of([&](srnn_error *e) {
      return srnn_vectors_nearest_batch(get(), queries.data(), queries.size(), without.data(), without.size(),
                                 indices.data(), indices.size(), similarities.data(), similarities.size(),
                                 counts.data(), counts.size(), e);
    });
  }
  Result analogy(View<const std::size_t> plus, View<const std::size_t> minus, View<std::size_t> indices,
                 FloatsOut similarities, std::size_t &count) const {
    return Result::of([&](srnn_error *e) {
      return srnn_vectors_analogy(get(), plus.data(), plus.size(), minus.data(), minus.size(), indices.data(),
                           indices.size(), similarities.data(), similarities.size(), &count, e);
    });
  }
  Result save(const char *path, srnn_vectors_format format) const {
    return Result::of([&](srnn_error *e) { return srnn_vectors_save(get(), path, format, e); });
  }
};

}  // namespace simdrnn

#endif  // SIMDRNN_VECTORS_HPP

// The C++ classes: every method, moves, empty handles. A second file of the same program includes the header too.

#include <simdrnn.hpp>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace simdrnn;

std::size_t output_size_of(const Rnn &rnn);

static int failures, checks;

#define CHECK(condition)                                              \
  do {                                                                \
    ++checks;                                                         \
    if (!(condition)) {                                               \
      ++failures;                                                     \
      std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                 \
  } while (0)

#define OK(call)                                                      \
  do {                                                                \
    const Result status_ = (call);                                    \
    ++checks;                                                         \
    if (!status_) {                                                   \
      ++failures;                                                     \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, status_.name(), status_.message()); \
    }                                                                 \
  } while (0)

#define REFUSED(expected, call) CHECK((call).code() == (expected))

static_assert(!std::is_copy_constructible_v<Rnn> && !std::is_copy_assignable_v<Rnn>);
static_assert(std::is_nothrow_move_constructible_v<Rnn> && std::is_nothrow_move_assignable_v<Stream>);

// Views of what dies with its statement are refused; views of views, and of what lives on, are not.
static_assert(!std::is_constructible_v<Floats, std::vector<float>> && !std::is_constructible_v<FloatsOut, std::vector<float>>);
static_assert(!std::is_constructible_v<Floats, const std::vector<float>>);
static_assert(!std::is_constructible_v<Floats, std::array<float, 3>> && !std::is_constructible_v<Floats, float[3]>);
static_assert(!std::is_constructible_v<View<const char>, std::string>);
static_assert(std::is_constructible_v<Floats, std::vector<float> &> && std::is_constructible_v<Floats, FloatsOut>);
static_assert(std::is_constructible_v<Floats, const std::vector<float> &> && std::is_constructible_v<Floats, float (&)[3]>);
static_assert(!std::is_constructible_v<FloatsOut, const std::vector<float> &>);
static_assert(std::is_constructible_v<View<const char>, std::string_view> && std::is_constructible_v<Floats, const Floats>);
template <typename Lengths>
using BatchOf = decltype(ForwardArgs(2, 4).lengths(std::declval<Lengths>()));
template <typename Lengths, typename = void>
constexpr bool makes_a_batch = false;
template <typename Lengths>
constexpr bool makes_a_batch<Lengths, std::void_t<BatchOf<Lengths>>> = true;
static_assert(makes_a_batch<std::vector<std::size_t> &> && !makes_a_batch<std::vector<std::size_t>>);

static void handles() {
  CHECK(std::strcmp(version(), srnn_version()) == 0 && version_number() == SRNN_VERSION_NUMBER);
  std::int32_t isa = -1;
  CHECK(isa_is_available(SRNN_ISA_SCALAR) && std::strcmp(isa_name(SRNN_ISA_NEON), "neon") == 0);
  OK(isa_set_limit(SRNN_ISA_SCALAR));
  OK(isa_choose(isa));
  CHECK(isa == SRNN_ISA_SCALAR);
  OK(isa_set_limit(isa_is_available(SRNN_ISA_NEON) ? SRNN_ISA_NEON : SRNN_ISA_AVX512));
  Rnn rnn;
  CHECK(!rnn && rnn.get() == nullptr && rnn.param_count() == 0);
  REFUSED(SRNN_ERROR_NULL_POINTER, rnn.init(SRNN_INIT_TORCH_UNIFORM, 1));
  srnn_rnn_config wrong = Rnn::config(SRNN_CELL_GRU, 0, 4);
  const Result status = rnn.create(wrong);
  CHECK(!status.ok() && !rnn && status.code() == SRNN_ERROR_INVALID_ARGUMENT);
  CHECK(std::strcmp(status.name(), "SRNN_ERROR_INVALID_ARGUMENT") == 0);
  CHECK(std::strstr(status.message(), "input_size") != nullptr);
  OK(rnn.create(Rnn::config(SRNN_CELL_GRU, 2, 4)));
  srnn_rnn *const handle = rnn.get();
  Rnn moved = std::move(rnn);
  CHECK(!rnn && moved.get() == handle);
  rnn = std::move(moved);
  CHECK(rnn.get() == handle);
  REFUSED(SRNN_ERROR_INVALID_ARGUMENT, rnn.create(wrong));
  CHECK(rnn.get() == handle);  // a failed create keeps what there was
  OK(rnn.create(Rnn::config(SRNN_CELL_GRU, 2, 5)));
  CHECK(output_size_of(rnn) == 5);

  Pool pool;
  Session plain, threaded;
  OK(pool.create(2));
  CHECK(pool.thread_count() == 2);
  OK(plain.create());
  OK(threaded.create());
  OK(threaded.set_pool(pool));
  CHECK(plain.bytes() == 0);
}

static void parameters() {
  Rnn rnn;
  OK(rnn.create(Rnn::config(SRNN_CELL_LSTM, 2, 3)));
  OK(rnn.init(SRNN_INIT_XAVIER_ORTHOGONAL, 1));
  srnn_rnn_config config;
  OK(rnn.get_config(config));
  CHECK(config.hidden_size == 3 && rnn.output_size() == 3 && rnn.param_count() == 4 && rnn.bytes() > 0);
  CHECK(srnn_isa_is_available(rnn.isa()) == 1);
  char name[SRNN_PARAM_NAME_SIZE];
  std::size_t index = 77, rows = 0, cols = 0;
  OK(rnn.param_name(1, name));
  CHECK(std::strcmp(name, "weight_hh_l0") == 0);
  OK(rnn.find_param(name, index));
  OK(rnn.param_shape(index, rows, cols));
  CHECK(index == 1 && rows == 12 && cols == 3);
  std::vector<float> one(rows * cols), all(rnn.value_count());
  OK(rnn.read_param(index, one));
  one[0] = 7;
  OK(rnn.write_param(index, one));
  OK(rnn.read_values(all));
  CHECK(all[24] == 7);
  all[24] = 8;
  OK(rnn.write_values(all));
  OK(rnn.read_param(index, one));
  CHECK(one[0] == 8);
}

static void training() {
  constexpr std::size_t in = 2, hidden = 3, size = 2, steps = 4;
  Rnn rnn;
  Session session;
  Tape tape;
  Grads grads;
  GradientFlow flow;
  OK(rnn.create(Rnn::config(SRNN_CELL_LSTM, in, hidden)));
  OK(rnn.init(SRNN_INIT_TORCH_UNIFORM, 1));
  OK(session.create());
  OK(tape.create());
  OK(grads.create(rnn));
  OK(flow.create());
  std::array<float, steps * size * in> x, dx;
  std::array<float, steps * size * hidden> y, dy;
  std::array<float, size * hidden> h{}, c{}, hn, cn;
  x.fill(0.5f);
  dy.fill(1);
  dx.fill(0);
  const srnn_state initial = state(h, c);
  const srnn_state_out last = state_out(hn, cn);
  const std::uint64_t generation = rnn.generation();
  CHECK(rnn.state_size() == hidden && rnn.pass_count() == 1 && generation != 0);
  OK(rnn.forward(session, tape, ForwardArgs(size, steps).x(x).y(y).h0(h).c0(c).hn(hn).cn(cn).dropout(0)));
  CHECK(tape.batch_size() == size && tape.seq_len() == steps);
  CHECK(std::memcmp(hn.data(), y.data() + (steps - 1) * size * hidden, sizeof hn) == 0 && tape.bytes() > 0);
  OK(rnn.backward(session, tape, BackwardArgs().dy(dy).dhn(h).dx(dx).dh0(hn).dc0(cn).dcn(c).grads(grads).flow(flow)));
  CHECK(dx[0] != 0);
  std::array<double, steps> norms;
  double value = 0;
  float low = -1, high = -1;
  CHECK(flow.pass_count() == 1 && flow.step_count() == steps && flow.gate_count() == 4);
  OK(flow.state_norms(0, norms));
  CHECK(norms[0] > 0);
  OK(flow.cell_norms(0, norms));
  OK(flow.singular_value(0, 0, value));
  OK(flow.saturation(0, 0, low, high));
  CHECK(norms[0] > 0 && value > 0 && low >= 0 && high >= 0);
  FloatsOut all;
  std::array<float, 4 * hidden * in> first;
  OK(grads.data(all));
  OK(grads.read_param(0, first));
  CHECK(all.size() == rnn.value_count() && all[0] == first[0] && first[0] != 0);

  Optimizer optimizer;
  OK(optimizer.create(Optimizer::config(SRNN_OPTIMIZER_SGD)));
  OK(optimizer.set_lr(0.5));
  OK(optimizer.set_pool({}));
  CHECK(optimizer.lr() == 0.5 && optimizer.step_count() == 0);
  OK(optimizer.begin_step());
  OK(optimizer.update(0, rnn, grads));
  REFUSED(SRNN_ERROR_INVALID_STATE, optimizer.update(0, rnn, grads));
  OK(grads.zero());
  CHECK(all[0] == 0 && optimizer.step_count() == 1);
  float p[2] = {1, 1};
  const float g[2] = {1, -1};
  OK(optimizer.update(9, p, g));
  CHECK(p[0] == 0.5f && p[1] == 1.5f);
  float changing[2] = {3, 4};
  const srnn_module model[] = {with_grads(rnn, grads), with_grads(View<float>(p), View<float>(changing))};
  double norm = 0;
  OK(clip_grad_norm(model, 1, &norm));
  CHECK(norm == 5 && changing[1] < 1 && changing[1] > 0.79f);
  changing[0] = 1;
  OK(optimizer.step(model));
  CHECK(p[0] == 0 && optimizer.step_count() == 2);
  OK(zero_grad(model));
  CHECK(changing[0] == 0);

  TruncatedBptt bptt;
  OK(bptt.create(rnn, size, steps, steps));
  OK(bptt.forward(rnn, session, steps, 0, x, y));
  OK(bptt.backward(rnn, session, dy, nullptr, grads));
  OK(bptt.get_state(last));
  CHECK(std::memcmp(hn.data(), y.data() + (steps - 1) * size * hidden, sizeof hn) == 0 && bptt.bytes() > 0);
  TruncatedBptt resumed;
  std::vector<std::uint8_t> saved(bptt.saved_bytes());
  OK(bptt.save_memory(saved));
  OK(resumed.create(rnn, size, steps, steps));
  OK(resumed.load_memory(saved));
  CHECK(resumed.step_count() == steps && resumed.saved_bytes() == saved.size());
  OK(resumed.set_state(state(hn, cn), 7));
  CHECK(resumed.step_count() == 7);
  saved.pop_back();
  REFUSED(SRNN_ERROR_INVALID_DATA, resumed.load_memory(saved));
  OK(bptt.reset());

  Rnn copy;
  OK(copy.clone(rnn));
  std::vector<float> of_copy(copy.value_count()), of_rnn(rnn.value_count());
  OK(copy.read_values(of_copy));
  OK(rnn.read_values(of_rnn));
  CHECK(of_copy == of_rnn && copy.isa() == rnn.isa());

  Stream stream;
  OK(stream.create(rnn, size));
  CHECK(stream.lane_count() == size && stream.bytes() > 0);
  OK(stream.set_pool({}));
  std::array<float, steps * size * hidden> again;
  OK(stream.step(rnn, Floats(x.data(), size * in), FloatsOut(again.data(), size * hidden)));
  OK(stream.process(rnn, steps - 1, Floats(x.data() + size * in, (steps - 1) * size * in),
                    FloatsOut(again.data() + size * hidden, (steps - 1) * size * hidden)));
  CHECK(again == y);
  OK(stream.get_state(last));
  OK(stream.set_state(initial));
  OK(stream.reset_lane(0));
  OK(stream.reset());
  std::array<float, size * hidden> carried_h{}, carried_c{};
  const std::size_t lengths[] = {steps, steps};
  OK(rnn.forward(session, ForwardArgs(size, steps).lengths(lengths).packed(false).no_dropout().x(x).y(again).state(carried_h, carried_c)));
  CHECK(std::memcmp(carried_h.data(), again.data() + (steps - 1) * size * hidden, sizeof carried_h) == 0);
  CHECK(again == y);
}

static void layers() {
  Dense dense;
  Session session;
  Optimizer optimizer;
  OK(session.create());
  OK(optimizer.create(Optimizer::config(SRNN_OPTIMIZER_SGD)));
  OK(optimizer.begin_step());
  OK(dense.create(2, 3));
  OK(dense.init(1));
  CHECK(dense.in_features() == 2 && dense.out_features() == 3 && dense.value_count() == 9);
  std::vector<float> values(9, 1.0f), x{1, 2}, y(3), dx(2), grads(9);
  OK(dense.write_values(values));
  OK(dense.forward(x, y));
  CHECK(y[0] == 4);
  y[0] = 0;
  OK(dense.forward(session, x, y));
  CHECK(y[0] == 4);
  OK(dense.backward(session, x, y, dx, grads));
  CHECK(dx[0] == 12 && grads[1] == 8);
  OK(optimizer.update(0, dense, grads));
  OK(dense.read_values(values));
  CHECK(values[1] == 1 - 0.001f * 8);

  Embedding embedding;
  EmbeddingGrads embedding_grads;
  OK(embedding.create(4, 2));
  OK(embedding.init_normal(1));
  OK(embedding.init_uniform(1, 1));
  OK(embedding.write_rows(2, x));
  OK(embedding.read_rows(2, dx));
  CHECK(dx == x && embedding.num_embeddings() == 4 && embedding.dim() == 2);
  const std::uint32_t indices[] = {2};
  OK(embedding.forward(indices, dx));
  CHECK(dx == x);
  Rnn rnn;
  Tape tape;
  std::vector<float> plain(4), out(4), recorded(4);
  OK(rnn.create(Rnn::config(SRNN_CELL_GRU, 2, 4)));
  OK(rnn.init(SRNN_INIT_TORCH_UNIFORM, 1));
  OK(tape.create());
  OK(rnn.forward(session, ForwardArgs(1, 1).x(x).y(plain)));
  OK(rnn.forward(session, ForwardArgs(1, 1).words(embedding, indices).y(out)));
  OK(rnn.forward(session, tape, ForwardArgs(1, 1).words(embedding, indices).y(recorded)));
  CHECK(plain[0] != 0 && out == plain && recorded == plain);
  OK(embedding_grads.create(embedding));
  OK(embedding_grads.add(indices, dx));
  View<const std::uint32_t> rows;
  FloatsOut row_values;
  OK(embedding_grads.data(rows, row_values));
  CHECK(rows.size() == 1 && rows[0] == 2 && row_values.size() == 2 && *row_values.begin() == 1);
  OK(embedding.set_frozen(true));
  CHECK(embedding.is_frozen());
  OK(optimizer.update(1, embedding, embedding_grads));
  OK(embedding_grads.zero());
}

static void files_and_text() {
  TensorWriter writer;
  TensorFile file;
  const std::size_t shape[] = {2, 1};
  const float values[] = {1, 2};
  std::size_t dims[2], n = 0;
  std::vector<float> back(2);
  std::string text;
  OK(writer.create());
  OK(writer.add("w", shape, values));
  OK(writer.metadata("k", "value"));
  OK(writer.save("classes.safetensors"));
  OK(file.open("classes.safetensors"));
  OK(file.name(0, text));
  CHECK(text == "w" && file.count() == 1);
  OK(file.shape("w", dims, n));
  CHECK(n == 2 && dims[0] == 2 && dims[1] == 1);
  OK(file.read("w", back));
  CHECK(back[1] == 2);
  OK(file.metadata("k", text));
  CHECK(text == "value");
  REFUSED(SRNN_ERROR_NOT_FOUND, file.metadata("no", text));
  CHECK(text == "value");

  Rnn rnn;
  Optimizer optimizer;
  OK(rnn.create(Rnn::config(SRNN_CELL_GRU, 2, 3)));
  OK(rnn.save_safetensors("classes.safetensors"));
  OK(rnn.load_safetensors("classes.safetensors"));
  OK(optimizer.create(Optimizer::config(SRNN_OPTIMIZER_ADAMW)));
  OK(optimizer.save_safetensors("classes.safetensors"));
  OK(optimizer.load_safetensors("classes.safetensors"));

  /* Several modules in one file, by way of memory too. */
  {
    TensorWriter together;
    TensorFile opened;
    Dense dense, dense_again;
    Embedding table, table_again;
    Rnn rnn_again;
    Optimizer optimizer_again;
    std::vector<std::uint8_t> bytes(1 << 16);
    OK(rnn.init(SRNN_INIT_TORCH_UNIFORM, 1));
    OK(rnn_again.create(Rnn::config(SRNN_CELL_GRU, 2, 3)));
    OK(dense.create(3, 2));
    OK(dense.init(2));
    OK(dense_again.create(3, 2));
    OK(table.create(4, 2));
    OK(table.init_normal(3));
    OK(table_again.create(4, 2));
    OK(together.create());
    OK(rnn.save(together, "gru."));
    OK(dense.save(together, "fc."));
    OK(table.save(together, "emb."));
    OK(optimizer.save(together));
    const srnn_save_options save_options = TensorWriter::options();
    OK(together.save("classes.safetensors", &save_options));
    std::FILE *const saved = std::fopen("classes.safetensors", "rb");
    CHECK(saved != nullptr);
    if (saved == nullptr) return;
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), saved));
    std::fclose(saved);
    OK(opened.from_memory(bytes, "memory"));
    const srnn_load_options load_options = TensorFile::options();
    OK(rnn_again.load(opened, "gru.", &load_options));
    OK(dense_again.load(opened, "fc."));
    OK(table_again.load(opened, "emb."));
    OK(optimizer_again.create(Optimizer::config(SRNN_OPTIMIZER_SGD)));
    OK(optimizer_again.load(opened));
    std::vector<float> a(rnn.value_count()), b(a.size());
    OK(rnn.read_values(a));
    OK(rnn_again.read_values(b));
    CHECK(a == b);
    a.resize(dense.value_count()), b.resize(a.size());
    OK(dense.read_values(a));
    OK(dense_again.read_values(b));
    CHECK(a == b);
    OK(table.read_rows(0, a));
    OK(table_again.read_rows(0, b));
    CHECK(a == b);
    OK(dense.save_safetensors("classes.safetensors"));
    OK(dense_again.load_safetensors("classes.safetensors"));
    OK(table.save_safetensors("classes.safetensors"));
    OK(table_again.load_safetensors("classes.safetensors"));
    std::size_t rows = 0, cols = 0, ndim = 0;
    OK(rnn.param_shape(2, rows, cols));
    OK(rnn.param_shape(2, rows, cols, ndim));
    CHECK(rows == 9 && cols == 1 && ndim == 1);
  }

  std::FILE *const data = std::fopen("classes.tsv", "wb");
  CHECK(data != nullptr);
  if (data == nullptr) return;
  std::fputs("pos\tgood\nneg\tbad\npos\tvery good\nneg\tvery bad\n", data);
  std::fclose(data);
  Vocab vocab, words;
  Dataset train, test;
  REFUSED(SRNN_ERROR_IO, train.open_train("no such file", vocab));
  CHECK(!train && !vocab);
  srnn_dataset_options options = Dataset::options();
  options.max_tokens = 1;
  srnn_vocab_options vocab_options = Vocab::options();
  vocab_options.min_count = 2;
  OK(train.open_train("classes.tsv", vocab, &options, &vocab_options));
  srnn_dataset_summary summary;
  OK(train.get_summary(summary));
  CHECK(summary.cut_tokens == 2 && summary.cut_texts == 2 && vocab.word_count() == 3);
  OK(train.skip_reason(text));
  CHECK(text.empty());
  OK(train.open_train("classes.tsv", vocab));
  std::uint64_t counts[2] = {0, 0};
  OK(train.label_counts(counts));
  OK(train.label(1, text));
  CHECK(train.label_count() == 2 && counts[0] == 2 && counts[1] == 2 && text == "pos");
  bool lowercase = false, nfc = true;
  OK(vocab.get_normalization(lowercase, nfc));
  CHECK(lowercase && !nfc);
  CHECK(train.example_count() == 4 && vocab.word_count() == 5);
  std::uint32_t id = 0, ids[2] = {0, 0};
  OK(vocab.id("very", id));
  OK(vocab.word(id, text));
  CHECK(text == "very");
  OK(vocab.encode("Very odd", ids, n));
  CHECK(n == 2 && ids[0] == id && ids[1] == 1);
  const char *const list[] = {"a", "b"};
  OK(words.create(list, true));
  CHECK(words.word_count() == 4);
  View<const std::uint32_t> tokens, targets, examples;
  OK(train.tokens(0, tokens));
  OK(train.targets(0, targets));
  CHECK(tokens.size() == 1 && targets.size() == 1 && targets[0] == 1);

  Classifier classifier, loaded;
  ClassifierSession session;
  Trainer trainer;
  Batches batches;
  srnn_step_report report;
  srnn_classifier_config config = Classifier::config();
  config.embedding_dim = config.hidden_size = 4;
  OK(classifier.create(config, vocab, train, 1));
  OK(classifier.set_embeddings_frozen(true));
  OK(classifier.set_embeddings_frozen(false));
  OK(trainer.create(classifier, Optimizer::config(SRNN_OPTIMIZER_ADAM), 1, 1));
  OK(trainer.set_lr(0.01));
  OK(batches.create(train, 4, 1, 0));
  CHECK(batches.count() == 1);
  OK(batches.examples(0, examples));
  OK(trainer.step(classifier, train, examples, &report));
  CHECK(examples.size() == 4 && report.tokens == 6 && trainer.step_count() == 1 && trainer.skipped_count() == 0);
  srnn_training_position position = {}, found = {};
  position.batch = 1;
  OK(trainer.save(classifier, position, "classes.safetensors"));
  Trainer resumed;
  OK(resumed.open("classes.safetensors", loaded, &found));
  srnn_optimizer_config adam;
  OK(resumed.get_optimizer_config(adam));
  CHECK(found.batch == 1 && resumed.step_count() == 1 && resumed.lr() == 0.01 && adam.kind == SRNN_OPTIMIZER_ADAM);
  CHECK(loaded.word_count() == 5);
  OK(classifier.save("classes.safetensors"));
  OK(loaded.open("classes.safetensors"));
  CHECK(loaded.label_count() == 2 && loaded.word_count() == 5 && loaded.bytes() > 0);
  OK(loaded.label(0, text));
  CHECK(text == "neg");
  OK(session.create());
  OK(loaded.classify(session, "good", back));
  CHECK(back[0] + back[1] > 0.999f);
  std::vector<float> all(8);
  OK(test.open(loaded, "classes.tsv", &options));
  OK(test.get_summary(summary));
  CHECK(summary.cut_tokens == 2);
  OK(test.open(loaded, "classes.tsv"));
  OK(loaded.predict(session, test, 2, all));
  CHECK(all[0] == back[0]);
  Metrics metrics;
  srnn_scores scores;
  double accuracy = -1;
  std::uint64_t times = 77;
  const std::uint32_t one[] = {1}, zero[] = {0};
  OK(metrics.create(2, SRNN_LABEL_MODE_SINGLE));
  OK(metrics.add(test, all));
  OK(metrics.average(SRNN_AVERAGING_MICRO, scores));
  OK(metrics.accuracy(accuracy));
  CHECK(scores.support == 4 && scores.f1 == accuracy);
  OK(metrics.add(one, zero));
  OK(metrics.scores(1, scores));
  CHECK(scores.support == 3);
  OK(metrics.confusion(1, 0, times));
  CHECK(times >= 1 && times < 77);
  float threshold[2] = {7, 7};
  REFUSED(SRNN_ERROR_INVALID_ARGUMENT, best_thresholds(test, all, threshold));
  CHECK(threshold[0] == 7);
  CHECK(std::remove("classes.tsv") == 0 && std::remove("classes.safetensors") == 0);
}

static void word_vectors() {
  std::FILE *file = std::fopen("classes.vectors", "wb");
  CHECK(file != nullptr);
  if (file == nullptr) return;
  std::fputs("one 1 0\ntwo 3 4\nthree -1 0\n 5 6\n", file);
  std::fclose(file);
  Vectors vectors, empty;
  Vocab vocab;
  Embedding embedding;
  Coverage coverage;
  srnn_vectors_options options = Vectors::options();
  options.unknown = SRNN_UNKNOWN_VECTOR_ZERO;
  std::string word;
  std::size_t index = 77, count = 77;
  std::array<float, 2> values{}, similarities{};
  std::array<std::size_t, 2> indices{};
  float similarity = 0;
  REFUSED(SRNN_ERROR_INVALID_DATA, vectors.open("classes.vectors"));
  options.skip_bad_rows = 1;
  OK(vectors.open("classes.vectors", &options));
  CHECK(vectors.skipped_row_count() == 1);
  REFUSED(SRNN_ERROR_IO, empty.open("no_such_file", &options));
  CHECK(vectors.word_count() == 3 && vectors.dim() == 2 && vectors.duplicate_count() == 0 && !empty);
  CHECK(vectors.file_format() == SRNN_VECTORS_FORMAT_GLOVE);
  OK(vectors.word(2, word));
  OK(vectors.find("two", index));
  OK(vectors.get_vector("two", values));
  OK(vectors.similarity(0, 1, similarity));
  CHECK(word == "three" && index == 1 && values[1] == 4 && similarity > 0.59f && similarity < 0.61f);
  const std::array<std::size_t, 1> first{0}, third{2};
  OK(vectors.nearest(values, indices, similarities, count, first));
  CHECK(count == 2 && indices[0] == 1 && indices[1] == 2);
  std::array<std::size_t, 1> counts{};
  OK(vectors.nearest_batch(values, indices, similarities, counts, first));
  CHECK(counts[0] == 2 && indices[0] == 1 && indices[1] == 2);
  OK(vectors.analogy(first, third, indices, similarities, count));
  CHECK(count == 1 && indices[0] == 1);
  const std::array<const char *, 2> words{"two", "four"};
  OK(vocab.create(words, true));
  OK(open_vectors("classes.vectors", vocab, embedding, &coverage, &options));
  CHECK(coverage.skipped_row_count() == 1);
  OK(vectors.save("classes.vectors", SRNN_VECTORS_FORMAT_SAFETENSORS));
  OK(open_vectors("classes.vectors", vocab, embedding, &coverage, &options));
  CHECK(embedding.num_embeddings() == 4 && coverage.word_count(SRNN_MATCH_EXACT) == 1);
  CHECK(coverage.token_count(SRNN_MATCH_EXACT) == 0 && coverage.skipped_row_count() == 0);
  std::array<std::uint32_t, 2> ids{};
  OK(coverage.missing(ids, count));
  CHECK(count == 2 && ids[0] == 1 && ids[1] == 3);
  Classifier none;
  REFUSED(SRNN_ERROR_NULL_POINTER, none.set_embeddings_frozen(true));
  REFUSED(SRNN_ERROR_NULL_POINTER, load_vectors(none, "classes.vectors"));
  CHECK(std::remove("classes.vectors") == 0);
}

static void functions() {
  const std::vector<float> x{0, 1, 2, 3}, y{0, 1, 1, 0};
  std::vector<float> a(4), b(4), d(4);
  const std::array<std::int64_t, 2> targets{0, 1};
  double loss = 0, weighted = 0, norm = 0;
  OK(softmax(2, x, a));
  OK(log_softmax(2, x, b));
  CHECK(a[0] + a[1] > 0.999f && a[0] < a[1] && b[0] < 0);
  b = {0, 0};
  OK(sigmoid(b));
  CHECK(b[0] == 0.5f);
  a = {-1, 2};
  OK(relu(a));
  CHECK(a[0] == 0 && a[1] == 2);
  OK(relu_backward(a, b));
  CHECK(b[0] == 0 && b[1] == 0.5f);
  OK(tanh(a));
  b = {1, 1};
  OK(tanh_backward(a, b));
  CHECK(a[1] > 0.964f && b[0] == 1 && b[1] < 0.071f);
  OK(sigmoid_backward(a, b));
  CHECK(b[0] == 0 && b[1] < 0.01f);
  OK(dropout(1, 1, 0, b));
  CHECK(b[1] == 0);
  CrossEntropy entropy;
  OK(entropy.evaluate(2, x, targets, loss, d));
  CHECK(d[0] < 0 && d[1] > 0 && d[3] < 0);
  entropy.weight = {1, 3};
  OK(entropy.evaluate(2, x, targets, weighted));
  CHECK(weighted < loss);  // the right answer weighs more
  entropy.ignore_index = 1;
  OK(entropy.evaluate(2, x, targets, loss, d));
  CHECK(d[2] == 0 && d[3] == 0 && loss > weighted);
  entropy.reduction = SRNN_REDUCTION_SUM;
  REFUSED(SRNN_ERROR_SHAPE_MISMATCH, entropy.evaluate(3, x, targets, loss));
  BceWithLogits bce;
  OK(bce.evaluate(2, x, y, loss, d));
  bce.reduction = SRNN_REDUCTION_SUM;
  OK(bce.evaluate(2, x, y, weighted));
  CHECK(weighted > 3.999 * loss && weighted < 4.001 * loss && d[0] == 0.125f);
  bce.pos_weight = {2, 2};
  OK(bce.evaluate(2, x, y, norm));
  CHECK(norm > weighted);
  MseLoss mse;
  OK(mse.evaluate(x, y, loss, d));
  CHECK(loss == 2.5 && d[3] == 1.5f);
  mse.reduction = SRNN_REDUCTION_SUM;
  OK(mse.evaluate(x, y, loss));
  CHECK(loss == 10);
  a = {3, 0};
  b = {4};
  const Floats read[] = {a, b};
  const FloatsOut both[] = {a, b};
  OK(grad_norm(read, norm));
  CHECK(norm == 5);
  OK(clip_grad_norm(both, 1, &norm));
  CHECK(norm == 5 && a[0] < 0.6001f && a[0] > 0.5999f);
  OK(clip_grad_value(both, 0.5f));
  CHECK(a[0] == 0.5f && b[0] == 0.5f);
}

#if defined(__cpp_exceptions)
static void exceptions() {
  Rnn rnn;
  rnn.create(Rnn::config(SRNN_CELL_GRU, 2, 4)).or_throw();
  std::string message;
  srnn_status code = SRNN_OK;
  try {
    rnn.create(Rnn::config(SRNN_CELL_GRU, 0, 4)).or_throw();
  } catch (const Error &error) {
    message = error.what();
    code = error.code();
  }
  CHECK(code == SRNN_ERROR_INVALID_ARGUMENT && message.find("input_size") != std::string::npos && rnn);
}
#endif

int main() {
#if defined(__cpp_exceptions)
  exceptions();
#endif
  functions();
  files_and_text();
  word_vectors();
  handles();
  parameters();
  training();
  layers();
  std::printf("checks %d failures %d\n", checks, failures);
  return failures != 0;
}

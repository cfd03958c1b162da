/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * simdrnn: recurrent layers (Elman RNN, LSTM, GRU) on the CPU, forward and backward.
 *
 * Made by cbindgen from src/capi: change that, not this file.
 *
 * Conventions
 *
 *   Status      A call that can fail returns an srnn_status: SRNN_OK (0) or an SRNN_ERROR_ number. Its last argument is an
 *               optional srnn_error of the caller, which receives the status and a text that names what was found and what
 *               was expected. Nothing is kept per thread. Compilers warn of a status that is not looked at (SRNN_MUST_USE).
 *   Failure     A call that fails writes no output (results come last, before the error) and leaves its handles as they
 *               were, unless its comment says otherwise. Every call can fail with SRNN_ERROR_NULL_POINTER for a NULL that
 *               is not allowed, SRNN_ERROR_INVALID_ARGUMENT for a pointer that is not aligned to its type and for memory
 *               that is written, be it of an array or of one result, and overlaps another array, text or result of the
 *               call or what a handle of the call has shown of its own, SRNN_ERROR_SIZE_OVERFLOW for sizes whose product
 *               is more than memory can hold, and SRNN_ERROR_INTERNAL for a bug in the library. The srnn_error is apart
 *               from all of them.
 *   Memory      Where it is short, a call fails with SRNN_ERROR_OUT_OF_MEMORY. Only these rest on other libraries that may
 *               end the process instead: starting threads; reading safetensors, Navec, gzip, xz and zip files; a path of
 *               384 bytes or more; a capital sigma that becomes lower case; and a letter with many marks that is brought to
 *               NFC.
 *   Names       srnn_<handle>_<what>. A verb acts: _step takes a step, _init draws or fills in, _load changes a handle that is
 *               there. A noun tells: how many of something there are ends in _count (srnn_stream_lane_count, and _count alone
 *               of what is nothing but a list), a number of bytes in _bytes; extents of arrays have PyTorch's names
 *               (output_size, in_features). What fills in a struct of the caller starts with get_.
 *   Handles     srnn_rnn, srnn_session, ... are made by _create from values, by _open from a file's path, by _open_memory from
 *               its bytes, by _open_tensors from an opened safetensors file, or by _clone, and end with _destroy, which takes
 *               NULL too. No handle keeps a pointer to another handle or to the caller's memory. What works on several threads
 *               is given its pool by _set_pool.
 *   Threads     A handle that a call takes as const may be used by many threads at once, as long as no other thread uses
 *               it in a call that takes it without const. Different handles may be used at the same time.
 *   Arrays      Sizes come with pointers and count values, not bytes. NULL with length 0 is an empty array, or, where the
 *               comment says so, one that is left out. Arrays are row-major, (outer, ..., inner), need no more alignment than
 *               their type, and stay the caller's.
 *   Numbers     Enumerations come in as int32_t and are checked; truth values are 0 or 1.
 *   Structs     Plain structs start with their size and have an init function: always call it, then change fields. Reserved
 *               fields stay zero. A struct of an older caller, which is shorter, has defaults in what is missing; a longer one
 *               is accepted if what the library does not know is zero.
 *   Floats      The floating-point environment is left alone; a pool's threads take on that of the thread that calls. Finite
 *               results have the same bits for every instruction set, number of threads and batch; where a result is NaN, its
 *               sign and payload are not promised.
 *   Process     The environment variable SIMDRNN_ISA is read once, at the first need; "Instruction sets" below says by what, and
 *               what a wrong value does. No other is read. Threads of the library take no signals. A thread that is cancelled
 *               (pthread_cancel) during a call comes to the call's end first. After fork a child may go on with all handles
 *               that no other thread was changing. The library may be unloaded (dlclose), by any thread,
 *               once all handles are destroyed, pools too: no thread of its own is left then.
 */

#ifndef SIMDRNN_H
#define SIMDRNN_H

#include <stddef.h>
#include <stdint.h>

/* Define SRNN_SHARED when linking to the library's DLL on Windows. */
#if defined(_WIN32) && defined(SRNN_SHARED)
#define SRNN_API __declspec(dllimport)
#else
#define SRNN_API
#endif

/* A status that nobody looks at is worth a warning. Define SRNN_NO_MUST_USE before including this header to have none. */
#if defined(SRNN_NO_MUST_USE)
#define SRNN_MUST_USE
#elif (defined(__cplusplus) && __cplusplus >= 201703L) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define SRNN_MUST_USE [[nodiscard]]
#elif defined(__GNUC__)
#define SRNN_MUST_USE __attribute__((warn_unused_result))
#else
#define SRNN_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ----------------------------------------------------------------------------------------------------
 * Version
 */

/** First part of the version: changes with incompatible changes, once it is above 0. */
#define SRNN_VERSION_MAJOR 0

/** Second part; while the first is 0, it changes with incompatible changes. */
#define SRNN_VERSION_MINOR 1

/** Third part of the version. */
#define SRNN_VERSION_PATCH 0

/** The version as one number, 1000000 * major + 1000 * minor + patch. */
#define SRNN_VERSION_NUMBER 1000

/** The version of the loaded library, such as "0.1.0"; a static text. */
SRNN_API const char *srnn_version(void);

/**
 * The version of the loaded library as one number. A program that was compiled with this header can compare it with
 * SRNN_VERSION_NUMBER.
 */
SRNN_API uint32_t srnn_version_number(void);

/* ----------------------------------------------------------------------------------------------------
 * Status and errors
 *
 * Every call that can fail returns a status and takes, as its last argument, an optional srnn_error that tells more.
 */

/** Bytes of an error's message, its closing NUL included. */
#define SRNN_MESSAGE_SIZE 512

/** The numbers of srnn_status. */
typedef enum srnn_status_code {
  /** The call did what it says. */
  SRNN_OK = 0,
  /** An argument has a value that the call does not accept; arrays that overlap where one of them is written. */
  SRNN_ERROR_INVALID_ARGUMENT = 1,
  /** A pointer is NULL where the call needs data. */
  SRNN_ERROR_NULL_POINTER = 2,
  /** An array's length or a tensor's shape is not the expected one. */
  SRNN_ERROR_SHAPE_MISMATCH = 3,
  /** A product of sizes is more than memory can hold. */
  SRNN_ERROR_SIZE_OVERFLOW = 4,
  /** Memory could not be allocated. */
  SRNN_ERROR_OUT_OF_MEMORY = 5,
  /** The call came at a time when the handle cannot serve it, such as backward before forward. */
  SRNN_ERROR_INVALID_STATE = 6,
  /** A file could not be read or written. */
  SRNN_ERROR_IO = 7,
  /** A file's or a text's content is not what the format asks for. */
  SRNN_ERROR_INVALID_DATA = 8,
  /** A named thing (parameter, word, tensor) does not exist. */
  SRNN_ERROR_NOT_FOUND = 9,
  /** The request is well-formed, but this build or machine cannot serve it. */
  SRNN_ERROR_UNSUPPORTED = 10,
  /** A bug in the library. Destroy the handles that the call could change: their contents are not known. */
  SRNN_ERROR_INTERNAL = 11,
  /** A loss or a gradient is NaN or infinite. */
  SRNN_ERROR_NON_FINITE = 12,
} srnn_status_code;

/** What a call returns: SRNN_OK or one of the SRNN_ERROR_ numbers. Later versions may add numbers. */
typedef int32_t srnn_status;

/**
 * What a call tells about its failure: memory of the caller, filled in by every call it is passed to. After a success
 * `status` is SRNN_OK and `message` is empty.
 */
typedef struct srnn_error {
  /** What the call returned. */
  int32_t status;
  /** A NUL-terminated English text in UTF-8 that names what was found and what was expected. */
  char message[SRNN_MESSAGE_SIZE];
} srnn_error;

/** The name of a status, such as "SRNN_ERROR_IO", or "unknown status"; a static text. */
SRNN_API const char *srnn_status_string(srnn_status status);

/* ----------------------------------------------------------------------------------------------------
 * Instruction sets
 *
 * A handle with kernels uses the best instruction set of the CPU, unless the environment variable SIMDRNN_ISA (scalar,
 * avx2, avx512 or neon; empty is unset) or srnn_isa_set_limit lowers it. Finite results have the same bits with every one.
 *
 * The variable is read once in a process, by the first call that chooses an instruction set: calls that make or load a
 * layer, an optimizer, a classifier or a trainer; srnn_softmax, srnn_log_softmax, srnn_sigmoid, srnn_dropout,
 * srnn_cross_entropy; the searches for neighbours, srnn_vectors_similarity and srnn_vectors_analogy; and srnn_isa_choose.
 * If it had another value, each of these calls fails with SRNN_ERROR_INVALID_ARGUMENT, or SRNN_ERROR_UNSUPPORTED for another
 * architecture's, and an error that names SIMDRNN_ISA.
 */

/** Instruction sets that kernels are built for. */
typedef enum srnn_isa {
  /** Portable code. */
  SRNN_ISA_SCALAR = 0,
  /** x86-64 with AVX2 and FMA (x86-64-v3). */
  SRNN_ISA_AVX2 = 1,
  /** x86-64 with AVX-512 F, BW, CD, DQ and VL (x86-64-v4). */
  SRNN_ISA_AVX512 = 2,
  /** AArch64 Advanced SIMD. */
  SRNN_ISA_NEON = 3,
} srnn_isa;

/** 1 if this CPU runs the instruction set `isa` (an srnn_isa), else 0. */
SRNN_API int32_t srnn_isa_is_available(int32_t isa);

/** The name of an instruction set ("scalar", "avx2", "avx512", "neon"), or "unknown"; a static text. */
SRNN_API const char *srnn_isa_name(int32_t isa);

/**
 * Lowers the instruction set of handles that are made from now on, for the whole process, from any thread. It never
 * raises it above what the CPU has; SRNN_ISA_AVX512 or SRNN_ISA_NEON lifts an earlier limit.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown number; SRNN_ERROR_UNSUPPORTED for another architecture's.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_isa_set_limit(int32_t isa, srnn_error *error);

/**
 * Writes the instruction set that a new handle would use to `isa`.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT or SRNN_ERROR_UNSUPPORTED if SIMDRNN_ISA had a wrong value.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_isa_choose(int32_t *isa, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Threads
 *
 * No thread is started unless a pool is made. Handles that were given a pool by their _set_pool spread their work over its
 * threads where there is enough of it; the number of threads changes no bit of a finite result.
 *
 * Any number of sessions and threads may share a pool: their calls take turns, except for those that are too small to be
 * spread. A pool's threads work in the floating-point environment of the thread that calls, and block all signals but those
 * of their own faults. In the child of a fork, in whatever PID namespace, pools of the parent have no threads: sessions that
 * use one work on the caller's thread, and both may be destroyed; pools made in the child have theirs. docs/threads.md tells
 * more.
 */

/** Threads that handles share. */
typedef struct srnn_pool srnn_pool;

/**
 * Makes a pool for `threads` threads, or, for 0, as many as the process may use at once. The thread that calls with a
 * session is one of them, so one fewer is started. The caller destroys the pool; what uses it keeps its threads
 * alive.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for more than 1024 threads; SRNN_ERROR_OUT_OF_MEMORY if they cannot be started.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_pool_create(size_t threads, srnn_pool **pool, srnn_error *error);

/**
 * Destroys a pool; its threads end with the last handle that uses them. The call that destroys the last of them returns when
 * the threads have ended. So once all handles are destroyed the library may be unloaded. NULL is allowed.
 */
SRNN_API void srnn_pool_destroy(srnn_pool *pool);

/** Number of threads, the caller's included; 0 for NULL. */
SRNN_API size_t srnn_pool_thread_count(const srnn_pool *pool);

/* ----------------------------------------------------------------------------------------------------
 * Recurrent layers
 *
 * An srnn_rnn is a stack of recurrent layers: configuration and weights. Its parameters are those of torch.nn.RNN, LSTM
 * and GRU, with the same names, shapes and gate order (LSTM i, f, g, o; GRU r, z, n), also as one flat array in PyTorch's
 * order. Any number of threads may use one srnn_rnn at once, as long as none changes it.
 */

/** The most layers of a stack: a number far beyond those that anybody trains is a damaged file's or a mistake. */
#define SRNN_MAX_LAYERS 1024

/** Room that every parameter's name fits in, its closing NUL included. */
#define SRNN_PARAM_NAME_SIZE 64

/** Recurrent cells. */
typedef enum srnn_cell {
  /** h' = tanh(W x + b + U h) (Elman 1990; torch.nn.RNN). */
  SRNN_CELL_ELMAN_TANH = 0,
  /** h' = relu(W x + b + U h) (torch.nn.RNN with nonlinearity="relu"). */
  SRNN_CELL_ELMAN_RELU = 1,
  /** Long short-term memory with forget gate, optionally with a projected state. Gates i, f, g, o. */
  SRNN_CELL_LSTM = 2,
  /** Gated recurrent unit, reset gate after the recurrent product, as in PyTorch, cuDNN and Keras. Gates r, z, n. */
  SRNN_CELL_GRU = 3,
  /** Gated recurrent unit, reset gate before the recurrent product, as in Cho et al. 2014. Gates r, z, n. */
  SRNN_CELL_GRU_RESET_BEFORE = 4,
} srnn_cell;

/** The order in which a layer visits the time steps. */
typedef enum srnn_direction {
  /** From the first step to the last. */
  SRNN_DIRECTION_FORWARD = 0,
  /** From each sequence's own last step to its first. */
  SRNN_DIRECTION_REVERSE = 1,
  /** Both, their outputs side by side, forward first. */
  SRNN_DIRECTION_BIDIRECTIONAL = 2,
} srnn_direction;

/** How initial weights are drawn. */
typedef enum srnn_init {
  /** torch.nn's: every parameter uniform in +-1/sqrt(hidden_size). */
  SRNN_INIT_TORCH_UNIFORM = 0,
  /** Input and projection weights Xavier uniform, each recurrent gate matrix orthogonal, biases zero. */
  SRNN_INIT_XAVIER_ORTHOGONAL = 1,
  /** The same, with the LSTM's forget gate bias 1. */
  SRNN_INIT_XAVIER_ORTHOGONAL_FORGET_ONE = 2,
} srnn_init;

/** A stack of recurrent layers. */
typedef struct srnn_rnn srnn_rnn;

/**
 * The configuration of a stack of layers; fields mean what they mean in torch.nn.LSTM. Fill it in with
 * srnn_rnn_config_init, then change fields.
 */
typedef struct srnn_rnn_config {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** An srnn_cell. */
  int32_t cell;
  /** Features of the input, at least 1. */
  uint64_t input_size;
  /** Features of the hidden state, at least 1. */
  uint64_t hidden_size;
  /** Layers, each reading the one below, at most SRNN_MAX_LAYERS. Default 1. */
  uint64_t num_layers;
  /** For LSTM: size of the projected state, less than hidden_size, or 0 for none. Default 0. */
  uint64_t proj_size;
  /** An srnn_direction. Default SRNN_DIRECTION_FORWARD. */
  int32_t direction;
  /** 1 with bias vectors, 0 without. Default 1. */
  int32_t bias;
  /** 1 if x and y are (batch, time, features), 0 if (time, batch, features). States never are. Default 0. */
  int32_t batch_first;
  /**
   * 1 to make states of magnitude below 2^-50 zero: below that, an activation's terms are subnormal, over which processors may
   * take longer (steps up to 1.8 times as long were seen). A state differs by less than 2^-50. Default 0.
   */
  int32_t flush_small_states;
  /** Probability of zeroing an output of every layer but the last in training; 0 to 1. Default 0. */
  float dropout;
  /** Zero. */
  uint32_t reserved0;
  /** Zero. */
  uint64_t reserved[4];
} srnn_rnn_config;

/**
 * Fills in `config`: one forward layer of `cell` (an srnn_cell) with bias, time-major, without dropout. Values are
 * checked by srnn_rnn_create. NULL is ignored.
 */
SRNN_API void srnn_rnn_config_init(srnn_rnn_config *config, int32_t cell, size_t input_size, size_t hidden_size);

/**
 * Creates a stack of layers with zero weights. The caller destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT, naming the field, for a configuration that makes no sense;
 * SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_create(const srnn_rnn_config *config, srnn_rnn **rnn, srnn_error *error);

/**
 * Creates a copy of `rnn` with the same weights, which is changed on its own from then on. Until either is changed, a tape
 * that one has recorded serves the other too. The caller destroys it.
 *
 * Errors: SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_clone(const srnn_rnn *rnn, srnn_rnn **copy, srnn_error *error);

/** Destroys a stack of layers. NULL is allowed. */
SRNN_API void srnn_rnn_destroy(srnn_rnn *rnn);

/** Writes the configuration of `rnn` to `config`, which needs no init before. */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_get_config(const srnn_rnn *rnn, srnn_rnn_config *config, srnn_error *error);

/** The instruction set (an srnn_isa) of its kernels; -1 for NULL. */
SRNN_API int32_t srnn_rnn_isa(const srnn_rnn *rnn);

/** Bytes of its parameters and their packed forms; 0 for NULL. */
SRNN_API size_t srnn_rnn_bytes(const srnn_rnn *rnn);

/** Features of the output, all directions together; 0 for NULL. */
SRNN_API size_t srnn_rnn_output_size(const srnn_rnn *rnn);

/** Features of a hidden state: proj_size if there is a projection, else hidden_size; 0 for NULL. */
SRNN_API size_t srnn_rnn_state_size(const srnn_rnn *rnn);

/** Layers times directions, which states have a row for; 0 for NULL. */
SRNN_API size_t srnn_rnn_pass_count(const srnn_rnn *rnn);

/**
 * The weights' generation, which changes whenever they do; 0 for NULL. A clone has that of its model until one of them
 * changes. A tape goes with weights of one generation and configuration, not with one handle.
 */
SRNN_API uint64_t srnn_rnn_generation(const srnn_rnn *rnn);

/**
 * Draws new parameters by `scheme` (an srnn_init); the same `seed` gives the same values on every machine.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown scheme; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_init(srnn_rnn *rnn, int32_t scheme, uint64_t seed, srnn_error *error);

/** Number of parameters (weight matrices and bias vectors); 0 for NULL. */
SRNN_API size_t srnn_rnn_param_count(const srnn_rnn *rnn);

/**
 * Copies the name of parameter `index`, as torch.nn has it ("weight_hh_l0_reverse"), and a closing NUL to `name`, which
 * has room for `name_size` bytes; SRNN_PARAM_NAME_SIZE is always enough.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_param_name(const srnn_rnn *rnn, size_t index, char *name, size_t name_size,
    srnn_error *error);

/**
 * Writes the shape of parameter `index`: `rows` by `cols`, and to `ndim`, if it is not NULL, its number of dimensions: 2 for
 * weights, 1 for a bias, whose `cols` is 1. rows * cols is the number of its values.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_param_shape(const srnn_rnn *rnn, size_t index, size_t *rows, size_t *cols,
    size_t *ndim, srnn_error *error);

/**
 * Writes the index of the parameter with torch.nn's `name` to `index`.
 *
 * Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_INVALID_ARGUMENT for a name that is not UTF-8.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_find_param(const srnn_rnn *rnn, const char *name, size_t *index,
    srnn_error *error);

/**
 * Copies the values of parameter `index`, row-major, to `values`: rows * cols of them.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_read_param(const srnn_rnn *rnn, size_t index, float *values,
    size_t values_len, srnn_error *error);

/**
 * Replaces the values of parameter `index` with `values`, row-major, rows * cols of them. Every write packs the weights
 * again: to set all of them, srnn_rnn_write_values is faster.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_write_param(srnn_rnn *rnn, size_t index, const float *values,
    size_t values_len, srnn_error *error);

/** Number of values of all parameters together; 0 for NULL. */
SRNN_API size_t srnn_rnn_value_count(const srnn_rnn *rnn);

/**
 * Copies all parameters, one after another in the order of their indices, to `values`: srnn_rnn_value_count of them.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_read_values(const srnn_rnn *rnn, float *values, size_t values_len,
    srnn_error *error);

/**
 * Replaces all parameters with `values`, in the order of srnn_rnn_read_values.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_write_values(srnn_rnn *rnn, const float *values, size_t values_len,
    srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Sessions
 */

/**
 * One caller's scratch memory. It grows to what a call needs and is kept: a call of a shape that fitted before
 * allocates nothing. A session serves any number of models, one call at a time; give each thread its own.
 */
typedef struct srnn_session srnn_session;

/** Creates a session that works on the caller's thread. The caller destroys it. */
SRNN_MUST_USE SRNN_API srnn_status srnn_session_create(srnn_session **session, srnn_error *error);

/** Destroys a session. NULL is allowed. */
SRNN_API void srnn_session_destroy(srnn_session *session);

/**
 * Spreads the session's work over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may be
 * destroyed before the session. The number of threads changes no bit.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_session_set_pool(srnn_session *session, const srnn_pool *pool,
    srnn_error *error);

/** Bytes of scratch memory held; 0 for NULL. */
SRNN_API size_t srnn_session_bytes(const srnn_session *session);

/* ----------------------------------------------------------------------------------------------------
 * Embeddings
 *
 * A table of vectors, one a word, as torch.nn.Embedding; its gradient holds only the rows that were used.
 */

/** A table of num_embeddings rows of embedding_dim values. */
typedef struct srnn_embedding srnn_embedding;

/** The gradient of an embedding's table: only the rows that were used. */
typedef struct srnn_embedding_grads srnn_embedding_grads;

/**
 * Creates a table of zeros. Row `padding_idx`, or none for -1, gets no gradient and stays zero when the table is drawn.
 * The caller destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for embedding_dim 0, 2^32 - 1 or more rows, or a padding row that does not exist;
 * SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_create(size_t num_embeddings, size_t embedding_dim,
    int64_t padding_idx, srnn_embedding **embedding, srnn_error *error);

/** Destroys an embedding. NULL is allowed. */
SRNN_API void srnn_embedding_destroy(srnn_embedding *embedding);

/** Rows of the table; 0 for NULL. */
SRNN_API size_t srnn_embedding_num_embeddings(const srnn_embedding *embedding);

/** Values of a row; 0 for NULL. */
SRNN_API size_t srnn_embedding_dim(const srnn_embedding *embedding);

/** Draws a standard normal table, as PyTorch does; the padding row becomes zero. */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_init_normal(srnn_embedding *embedding, uint64_t seed,
    srnn_error *error);

/**
 * Draws a table uniform in [-range, range); the padding row becomes zero.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a range that is negative or not finite.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_init_uniform(srnn_embedding *embedding, float range, uint64_t seed,
    srnn_error *error);

/**
 * Copies consecutive rows from `first_row` on to `values`: any number of whole rows.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length that is no multiple of embedding_dim; SRNN_ERROR_INVALID_ARGUMENT for
 * rows that do not exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_read_rows(const srnn_embedding *embedding, size_t first_row,
    float *values, size_t values_len, srnn_error *error);

/**
 * Replaces consecutive rows from `first_row` on with `values`: any number of whole rows.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length that is no multiple of embedding_dim; SRNN_ERROR_INVALID_ARGUMENT for
 * rows that do not exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_write_rows(srnn_embedding *embedding, size_t first_row,
    const float *values, size_t values_len, srnn_error *error);

/** 1 if updates leave the table as it is, 0 if not or for NULL. */
SRNN_API int32_t srnn_embedding_is_frozen(const srnn_embedding *embedding);

/**
 * Freezes the table (1), so that updates leave it as it is, or sets it free (0).
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for another number.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_set_frozen(srnn_embedding *embedding, int32_t frozen,
    srnn_error *error);

/**
 * Copies the row of every index to `y`.
 *
 * - y: (indices_len, embedding_dim)
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for an index without a row.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_forward(const srnn_embedding *embedding, const uint32_t *indices,
    size_t indices_len, float *y, size_t y_len, srnn_error *error);

/** Creates an empty gradient for the table of `embedding`, which it does not keep. The caller destroys it. */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_grads_create(const srnn_embedding *embedding,
    srnn_embedding_grads **grads, srnn_error *error);

/** Destroys a gradient. NULL is allowed. */
SRNN_API void srnn_embedding_grads_destroy(srnn_embedding_grads *grads);

/** Sets the gradient to zero: forgets all rows and keeps the memory. */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_grads_zero(srnn_embedding_grads *grads, srnn_error *error);

/**
 * Backward: adds `dy`, the gradient of what srnn_embedding_forward wrote for `indices`. A row's gradients are summed in
 * order of appearance; the padding row gets none.
 *
 * - dy: (indices_len, embedding_dim)
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for an index without a row;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_grads_add(srnn_embedding_grads *grads, const uint32_t *indices,
    size_t indices_len, const float *dy, size_t dy_len, srnn_error *error);

/**
 * Writes where the gradient lies: the indices of its `rows_len` rows, ascending, and their values, rows_len *
 * embedding_dim. Memory of `grads`, of which the caller may change the values, for clipping for example, until the next
 * call with `grads`.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_grads_data(srnn_embedding_grads *grads, const uint32_t **rows,
    size_t *rows_len, float **values, size_t *values_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Tapes and gradients
 *
 * What a training forward leaves for backward, and where backward adds the gradients of the weights.
 */

/**
 * Gradients of all parameters of an srnn_rnn, as one flat array in the order of srnn_rnn_read_values. Backward adds to
 * them.
 */
typedef struct srnn_grads srnn_grads;

/** What a training forward recorded, for backward. Its memory is reused by the next forward. */
typedef struct srnn_tape srnn_tape;

/** Creates an empty tape. The caller destroys it. */
SRNN_MUST_USE SRNN_API srnn_status srnn_tape_create(srnn_tape **tape, srnn_error *error);

/** Destroys a tape. NULL is allowed. */
SRNN_API void srnn_tape_destroy(srnn_tape *tape);

/** Sequences of the forward that `tape` holds; 0 while it holds none, and for NULL. */
SRNN_API size_t srnn_tape_batch_size(const srnn_tape *tape);

/** Time steps that the arrays of that forward have room for; 0 while it holds none, and for NULL. */
SRNN_API size_t srnn_tape_seq_len(const srnn_tape *tape);

/**
 * Bytes held; 0 for NULL. With R the sum of the lengths: for each layer R rows of its input; for each layer and
 * direction R rows of pre-activations (4 times the hidden size for LSTM and GRU, 3 with reset before, 1 for Elman) and
 * batch + R rows of hidden, for LSTM also of cell states; rows are padded to whole vectors.
 */
SRNN_API size_t srnn_tape_bytes(const srnn_tape *tape);

/** Creates zero gradients for the parameters of `rnn`, which they do not keep. The caller destroys them. */
SRNN_MUST_USE SRNN_API srnn_status srnn_grads_create(const srnn_rnn *rnn, srnn_grads **grads, srnn_error *error);

/** Destroys gradients. NULL is allowed. */
SRNN_API void srnn_grads_destroy(srnn_grads *grads);

/** Sets all gradients to zero. */
SRNN_MUST_USE SRNN_API srnn_status srnn_grads_zero(srnn_grads *grads, srnn_error *error);

/**
 * Writes where the gradients lie, srnn_rnn_value_count of them: memory of `grads` that the caller may read and change,
 * for clipping for example, until `grads` is destroyed.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_grads_data(srnn_grads *grads, float **data, size_t *data_len,
    srnn_error *error);

/**
 * Copies the gradient of parameter `index`, shaped like the parameter, to `values`.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_grads_read_param(const srnn_grads *grads, size_t index, float *values,
    size_t values_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Gradient flow
 *
 * The numbers behind vanishing and exploding gradients (Pascanu, Mikolov and Bengio 2013), measured by an
 * srnn_rnn_backward call that is given an srnn_gradient_flow. A pass is a layer in one direction: number
 * layer * directions + direction.
 *
 * PyTorch's uniform initialization makes all three cells forget alike: over 100 steps the gradient of the last state
 * vanishes in an LSTM and a GRU as it does in an Elman layer, since gates start half open. For long sequences start an LSTM
 * with its forget gate open: SRNN_INIT_XAVIER_ORTHOGONAL_FORGET_ONE, or larger forget biases for longer memory
 * (docs/layers.md has figures).
 */

/** Measurements of a backward call. */
typedef struct srnn_gradient_flow srnn_gradient_flow;

/** Creates an empty one. The caller destroys it. */
SRNN_MUST_USE SRNN_API srnn_status srnn_gradient_flow_create(srnn_gradient_flow **flow, srnn_error *error);

/** Destroys measurements. NULL is allowed. */
SRNN_API void srnn_gradient_flow_destroy(srnn_gradient_flow *flow);

/** Passes that were measured; 0 before a measurement and for NULL. */
SRNN_API size_t srnn_gradient_flow_pass_count(const srnn_gradient_flow *flow);

/** Time steps that were measured; 0 before a measurement and for NULL. */
SRNN_API size_t srnn_gradient_flow_step_count(const srnn_gradient_flow *flow);

/** Gates of a pass, in PyTorch's order; 0 before a measurement and for NULL. */
SRNN_API size_t srnn_gradient_flow_gate_count(const srnn_gradient_flow *flow);

/**
 * Copies, for each time step, the Euclidean norm, over the batch and the features, of the loss's gradient with respect
 * to the hidden state of `pass` to `norms`: srnn_gradient_flow_step_count of them. Zero past all sequences' ends.
 *
 * Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass that does not exist;
 * SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_gradient_flow_state_norms(const srnn_gradient_flow *flow, size_t pass,
    double *norms, size_t norms_len, srnn_error *error);

/**
 * As srnn_gradient_flow_state_norms, with respect to the cell state of an LSTM: the path on which it carries gradients far,
 * since from step to step they shrink there by the forget gate alone.
 *
 * Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass that does not exist or a cell
 * without cell states; SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_gradient_flow_cell_norms(const srnn_gradient_flow *flow, size_t pass,
    double *norms, size_t norms_len, srnn_error *error);

/**
 * Writes the largest singular value of the recurrent matrix of a gate. For Elman with tanh, below 1 gradients must
 * vanish over time, and above 1 they can explode.
 *
 * Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass or a gate that does not
 * exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_gradient_flow_singular_value(const srnn_gradient_flow *flow, size_t pass,
    size_t gate, double *value, srnn_error *error);

/**
 * Writes the shares of a gate's activations near its limits, over all steps and sequences: `low` below 0.1 (sigmoid) or
 * -0.9 (tanh) or at 0 (relu), `high` above 0.9 (0 for relu).
 *
 * Errors: SRNN_ERROR_INVALID_STATE before a measurement; SRNN_ERROR_INVALID_ARGUMENT for a pass or a gate that does not
 * exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_gradient_flow_saturation(const srnn_gradient_flow *flow, size_t pass,
    size_t gate, float *low, float *high, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Forward and backward
 *
 * One call runs the layers over a batch of sequences, for inference or, with a tape, for training; another takes gradients
 * back through what a tape has recorded. Shapes, with L layers, D directions, I the input size, S the state size (proj_size if
 * there is a projection, else hidden_size) and H the hidden size; error texts name arrays as they are named here:
 *
 * - x: (seq_len, batch, I), or (batch, seq_len, I) if batch_first; y the same with D * S features
 * - h0, hn: (L * D, batch, S)
 * - c0, cn: (L * D, batch, H), LSTM only
 *
 * A training step is srnn_modules_zero_grad; srnn_rnn_forward with a tape; a loss; srnn_rnn_backward, which adds to the gradients
 * of the weights; srnn_modules_clip_grad_norm; srnn_optimizer_step. Backward may run any number of times on one tape, as long
 * as the weights are those of the forward.
 */

/**
 * What a forward call takes: a batch of sequences, and its arrays. Fill it in with srnn_forward_args_init, then change fields.
 * An array that is NULL with length 0 is left out: initial states are zeros then, and results are not wanted.
 */
typedef struct srnn_forward_args {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /**
   * 1 if arrays with a row for every step hold only steps that are there: all of the first sequence, then all of the
   * second, and so on, whatever batch_first is. So one long sequence takes no room beside short ones. Default 0.
   */
  int32_t packed;
  /** Number of sequences. */
  size_t batch_size;
  /** Time steps that the arrays have room for; may be 0. */
  size_t seq_len;
  /**
   * The length of each sequence, 0 to seq_len, in any order; NULL if all are seq_len long. Work follows the sum of the
   * lengths.
   */
  const size_t *lengths;
  /** batch_size if there are lengths, else 0. */
  size_t lengths_len;
  /** Input, unless it is words. */
  const float *x;
  /** Values of x. */
  size_t x_len;
  /**
   * Values from the start of a row of x to that of the next, at least I, for a view of a larger array; x_len then reaches at
   * least to the end of the last row. Default 0: rows follow one another.
   */
  size_t x_row_stride;
  /**
   * Input as words, in place of x: a table of vectors of I values, which are read where they lie. The results are those of
   * srnn_embedding_forward into x, bit for bit. A tape keeps the vectors, so that the table may change before backward.
   */
  const srnn_embedding *embedding;
  /**
   * The row of every step, (seq_len, batch), or (batch, seq_len) if batch_first; past a sequence's end they may be anything.
   */
  const uint32_t *indices;
  /** Number of indices. */
  size_t indices_len;
  /** Receives the outputs of the last layer, zero past a sequence's end. */
  float *y;
  /** Values of y. */
  size_t y_len;
  /** As x_row_stride, for y. What lies between its rows stays as it is. Default 0. */
  size_t y_row_stride;
  /** Hidden states before the first step. */
  const float *h0;
  /** Values of h0. */
  size_t h0_len;
  /** Cell states before the first step. */
  const float *c0;
  /** Values of c0. */
  size_t c0_len;
  /**
   * Receives the hidden states after each sequence's last step. With hn the same array as h0 and cn the same as c0, states are
   * updated in place.
   */
  float *hn;
  /** Values of hn. */
  size_t hn_len;
  /** Receives the cell states after each sequence's last step. */
  float *cn;
  /** Values of cn. */
  size_t cn_len;
  /** Decides dropout between layers, in training: use another one for every step. Default 0. */
  uint64_t dropout_seed;
  /** For dropout: the step that the batch's first step is, in sequences that are cut into chunks. Default 0. */
  uint32_t first_step;
  /** For dropout: the sequence that the batch's first one is, in batches that are cut into smaller ones. Default 0. */
  uint32_t first_sequence;
  /** 1 to drop nothing in this call though it has a tape: gradients of a model as it is used. Default 0. */
  int32_t no_dropout;
  /** Zero. */
  uint32_t reserved0;
  /** Zero. */
  uint64_t reserved[4];
} srnn_forward_args;

/**
 * What a backward call takes, beside the tape: arrays with the shapes of its forward. Fill it in with srnn_backward_args_init,
 * then change fields. An array that is NULL with length 0 is left out: gradients that come in are zeros then, and those that
 * go out are not wanted.
 */
typedef struct srnn_backward_args {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** Zero. */
  uint32_t reserved0;
  /** Gradient of y, ignored past a sequence's end. */
  const float *dy;
  /** Values of dy. */
  size_t dy_len;
  /** Gradient of hn. */
  const float *dhn;
  /** Values of dhn. */
  size_t dhn_len;
  /** Gradient of cn. */
  const float *dcn;
  /** Values of dcn. */
  size_t dcn_len;
  /**
   * Receives the gradient of x, zero past a sequence's end; where words came in, of their rows: srnn_embedding_grads_add takes it.
   */
  float *dx;
  /** Values of dx. */
  size_t dx_len;
  /** Receives the gradient of h0. */
  float *dh0;
  /** Values of dh0. */
  size_t dh0_len;
  /** Receives the gradient of c0. */
  float *dc0;
  /** Values of dc0. */
  size_t dc0_len;
  /** Gradients of the weights are added to these, if it is not NULL. */
  srnn_grads *grads;
  /** Filled with measurements, if it is not NULL. */
  srnn_gradient_flow *flow;
  /** Zero. */
  uint64_t reserved[4];
} srnn_backward_args;

/** Fills in `args`: `batch_size` sequences of `seq_len` steps each, without arrays. NULL is ignored. */
SRNN_API void srnn_forward_args_init(srnn_forward_args *args, size_t batch_size, size_t seq_len);

/** Fills in `args` without arrays. NULL is ignored. */
SRNN_API void srnn_backward_args_init(srnn_backward_args *args);

/**
 * Runs the layers over a batch of sequences. With a `tape` (NULL for inference) it applies dropout between layers, if the
 * configuration has it, and records what backward needs.
 *
 * For finite results every sequence's outputs depend on the model, its input and its initial state alone, bit for bit:
 * not on the other sequences, padding, threads, the instruction set, or how a sequence is cut into calls.
 *
 * Errors, after which the tape holds what it held before: SRNN_ERROR_SHAPE_MISMATCH, naming the array, for a length;
 * SRNN_ERROR_INVALID_ARGUMENT for lengths above seq_len, cell states where the cell has none, an index without a row, both x
 * and words, or one kind of state updated in place without the other; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_forward(const srnn_rnn *rnn, srnn_session *session, srnn_tape *tape,
    const srnn_forward_args *args, srnn_error *error);

/**
 * Backpropagation through time: gradients of a loss through the forward that `tape` recorded.
 *
 * Finite gradients have the same bits for any number of threads and every instruction set.
 *
 * Errors: SRNN_ERROR_INVALID_STATE if the tape holds nothing, was recorded by another configuration, or the weights have
 * changed since; SRNN_ERROR_SHAPE_MISMATCH, naming the array, for a length or another model's grads;
 * SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_backward(const srnn_rnn *rnn, srnn_session *session, const srnn_tape *tape,
    const srnn_backward_args *args, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * States
 *
 * The states of a stream, or those that truncated backpropagation carries, as a call reads or writes them.
 */

/**
 * Recurrent states that a call reads, of streams and of truncated backpropagation. With L layers, D directions and S the state size (proj_size
 * if there is a projection, else hidden_size):
 *
 * - h: (L * D, batch, S); a stream's lanes are the batch
 * - c: (L * D, batch, hidden_size), LSTM only
 *
 * An array that is NULL with length 0 counts as zeros, as does a NULL srnn_state.
 */
typedef struct srnn_state {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** Zero. */
  uint32_t reserved0;
  /** Hidden states. */
  const float *h;
  /** Values of h. */
  size_t h_len;
  /** Cell states. */
  const float *c;
  /** Values of c. */
  size_t c_len;
  /** Zero. */
  uint64_t reserved[2];
} srnn_state;

/**
 * Recurrent states that a call writes: shaped as in srnn_state. An array that is NULL with length 0
 * is not wanted, nor is either with a NULL srnn_state_out.
 */
typedef struct srnn_state_out {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** Zero. */
  uint32_t reserved0;
  /** Hidden states. */
  float *h;
  /** Values of h. */
  size_t h_len;
  /** Cell states. */
  float *c;
  /** Values of c. */
  size_t c_len;
  /** Zero. */
  uint64_t reserved[2];
} srnn_state_out;

/** Fills in `state` with two arrays, which stay the caller's. NULL is ignored. */
SRNN_API void srnn_state_init(srnn_state *state, const float *h, size_t h_len, const float *c, size_t c_len);

/** Fills in `state` with two arrays, which stay the caller's. NULL is ignored. */
SRNN_API void srnn_state_out_init(srnn_state_out *state, float *h, size_t h_len, float *c, size_t c_len);

/* ----------------------------------------------------------------------------------------------------
 * Truncated backpropagation through time
 *
 * BPTT(h; h') of Williams and Peng 1990, for sequences of any length in memory that k2 sets: after every chunk of k1
 * steps its errors are propagated back over the last k2 steps. k2 = k1 is the usual training on consecutive chunks with
 * carried, detached states.
 *
 * Training can stop at any point and go on later, bit for bit: srnn_truncated_bptt_save_memory keeps the carried states, the place
 * in the sequence and the chunks of the last k2 steps, for srnn_truncated_bptt_load_memory. Where no chunk is needed any more
 * (k2 = k1, and the newest chunk's errors have been propagated) srnn_truncated_bptt_get_state, _steps_done and _set_state
 * do. The model, the optimizer and the gradients added up so far are the caller's to keep.
 */

/** Tapes of the last k2 / k1 chunks and the carried states. */
typedef struct srnn_truncated_bptt srnn_truncated_bptt;

/**
 * Creates zero states for batches of `batch_size` sequences and models like `rnn`, which must have forward layers only;
 * `k2` is a multiple of `k1`. It does not keep `rnn`. The caller destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for any of that; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_create(const srnn_rnn *rnn, size_t batch_size, size_t k1,
    size_t k2, srnn_truncated_bptt **bptt, srnn_error *error);

/** Destroys one. NULL is allowed. */
SRNN_API void srnn_truncated_bptt_destroy(srnn_truncated_bptt *bptt);

/** Bytes held; 0 for NULL. */
SRNN_API size_t srnn_truncated_bptt_bytes(const srnn_truncated_bptt *bptt);

/** Starts new sequences: zero states, nothing to propagate into. */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_reset(srnn_truncated_bptt *bptt, srnn_error *error);

/**
 * Runs the next chunk, `steps` (1 to k1) long, from the carried states.
 *
 * - x: (steps, batch, input_size), or (batch, steps, input_size) if batch_first
 * - y: the same with output_size features; NULL if it is not wanted
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for the number of steps;
 * SRNN_ERROR_INVALID_STATE for a model of another configuration; SRNN_ERROR_OUT_OF_MEMORY. Nothing has changed then.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_forward(srnn_truncated_bptt *bptt, const srnn_rnn *rnn,
    srnn_session *session, size_t steps, uint64_t dropout_seed, const float *x, size_t x_len, float *y, size_t y_len,
    srnn_error *error);

/**
 * Propagates the errors of the newest chunk back over the last k2 steps and adds to `grads`.
 *
 * - dy: the gradient of that chunk's y
 * - dx: receives the gradient of its x; NULL if it is not wanted
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length or another model's grads; SRNN_ERROR_INVALID_STATE without a forward
 * since the last backward, or for a model of another configuration; SRNN_ERROR_OUT_OF_MEMORY. Nothing has changed then.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_backward(srnn_truncated_bptt *bptt, const srnn_rnn *rnn,
    srnn_session *session, const float *dy, size_t dy_len, float *dx, size_t dx_len, srnn_grads *grads,
    srnn_error *error);

/**
 * Copies the carried states out.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_get_state(const srnn_truncated_bptt *bptt,
    const srnn_state_out *state, srnn_error *error);

/**
 * Goes on from other states, with nothing to propagate into; what is NULL becomes zero. `steps_done` is the number of steps
 * before them, which says where dropout stands: what srnn_truncated_bptt_step_count told when the states were copied out.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
 * Nothing has changed then.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_set_state(srnn_truncated_bptt *bptt, const srnn_state *state,
    uint32_t steps_done, srnn_error *error);

/** Steps since the start of the sequences; it wraps at 2^32. 0 for NULL. */
SRNN_API uint32_t srnn_truncated_bptt_step_count(const srnn_truncated_bptt *bptt);

/** Bytes that srnn_truncated_bptt_save_memory writes now; 0 for NULL. */
SRNN_API size_t srnn_truncated_bptt_saved_bytes(const srnn_truncated_bptt *bptt);

/**
 * Writes all that later calls depend on to `bytes`, srnn_truncated_bptt_saved_bytes of them, to be kept wherever the caller
 * likes. They mean the same on every machine.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_save_memory(const srnn_truncated_bptt *bptt, uint8_t *bytes,
    size_t bytes_len, srnn_error *error);

/**
 * Makes `bptt`, which was created for the same configuration, batch_size, k1 and k2, what was saved: later calls give the
 * bits that they would have given there.
 *
 * Errors: SRNN_ERROR_INVALID_DATA for bytes that srnn_truncated_bptt_save_memory has not written; SRNN_ERROR_SHAPE_MISMATCH, naming
 * the size, for those of another; SRNN_ERROR_OUT_OF_MEMORY. Nothing has changed then.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_truncated_bptt_load_memory(srnn_truncated_bptt *bptt, const uint8_t *bytes,
    size_t bytes_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Streams
 *
 * An srnn_stream holds the live states of one or more parallel sequences (lanes) that go on for as long as the caller
 * likes. Step and process allocate nothing. Unless the stream has a pool, they lock nothing, make no system call and wait for
 * nobody. Finite results are, bit for bit, those of one long forward.
 *
 * A step's instructions do not depend on the data. Their time does only where the processor takes longer over subnormal
 * numbers: while states or inputs lie below 2^-50 but are not zero (flush_small_states keeps states from it), and where gates
 * are shut so far (pre-activations below about -80) that what they let through is subnormal.
 */

/** Live states of parallel sequences. */
typedef struct srnn_stream srnn_stream;

/**
 * Creates zero states of `lanes` sequences for models like `rnn`, which must have forward layers only. The stream does
 * not keep `rnn`: every call takes the model, whose weights may have changed in between. The caller destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for layers in reverse, or no lanes; SRNN_ERROR_SIZE_OVERFLOW;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_create(const srnn_rnn *rnn, size_t lanes, srnn_stream **stream,
    srnn_error *error);

/** Destroys a stream. NULL is allowed. */
SRNN_API void srnn_stream_destroy(srnn_stream *stream);

/** Number of lanes; 0 for NULL. */
SRNN_API size_t srnn_stream_lane_count(const srnn_stream *stream);

/** Bytes held; 0 for NULL. */
SRNN_API size_t srnn_stream_bytes(const srnn_stream *stream);

/**
 * Spreads steps of large layers, from about a megabyte of recurrent weights on, over the threads of `pool` from now
 * on; NULL for the caller's thread alone. Step and process then wait for the pool's threads, and for their turn if other
 * calls use it. The states stay as they are. The pool may be destroyed before the stream. The number of threads changes no
 * bit.
 *
 * Errors: SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY. The stream stays as it was.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_set_pool(srnn_stream *stream, const srnn_pool *pool, srnn_error *error);

/**
 * One step of every lane.
 *
 * - x: (lanes, input_size)
 * - y: (lanes, output_size)
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_STATE for a model of another configuration. The
 * states stay as they were.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_step(srnn_stream *stream, const srnn_rnn *rnn, const float *x,
    size_t x_len, float *y, size_t y_len, srnn_error *error);

/**
 * `steps` steps of every lane.
 *
 * - x: (steps, lanes, input_size), or (lanes, steps, input_size) if batch_first
 * - y: the same with output_size features; NULL if only the states are to advance
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_STATE for a model of another configuration;
 * SRNN_ERROR_SIZE_OVERFLOW. The states stay as they were.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_process(srnn_stream *stream, const srnn_rnn *rnn, size_t steps,
    const float *x, size_t x_len, float *y, size_t y_len, srnn_error *error);

/**
 * Copies the states out, the lanes being the batch.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_get_state(const srnn_stream *stream, const srnn_state_out *state,
    srnn_error *error);

/**
 * Replaces the states, the lanes being the batch; what is NULL becomes zero.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for cell states where the cell has none.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_set_state(srnn_stream *stream, const srnn_state *state,
    srnn_error *error);

/** Zeroes the states of all lanes. */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_reset(srnn_stream *stream, srnn_error *error);

/**
 * Zeroes the states of one lane.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a lane that does not exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_stream_reset_lane(srnn_stream *stream, size_t lane, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Dense layers
 *
 * y = W x + b, as torch.nn.Linear: weights (out_features, in_features) and optionally a bias (out_features), also as one
 * flat array in that order.
 */

/** A dense layer. */
typedef struct srnn_dense srnn_dense;

/**
 * Creates a layer with zero weights, with a bias if `bias` is 1. The caller destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for no features or another `bias`; SRNN_ERROR_SIZE_OVERFLOW;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_create(size_t in_features, size_t out_features, int32_t bias,
    srnn_dense **dense, srnn_error *error);

/** Destroys a dense layer. NULL is allowed. */
SRNN_API void srnn_dense_destroy(srnn_dense *dense);

/** Features of the input; 0 for NULL. */
SRNN_API size_t srnn_dense_in_features(const srnn_dense *dense);

/** Features of the output; 0 for NULL. */
SRNN_API size_t srnn_dense_out_features(const srnn_dense *dense);

/** Number of weights and biases; 0 for NULL. */
SRNN_API size_t srnn_dense_value_count(const srnn_dense *dense);

/**
 * Draws weights and bias uniformly from +-1/sqrt(in_features), as torch.nn.Linear does; the same `seed` gives the same
 * values on every machine.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_init(srnn_dense *dense, uint64_t seed, srnn_error *error);

/**
 * Copies the weights, row-major, then the bias to `values`: srnn_dense_value_count of them.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_read_values(const srnn_dense *dense, float *values, size_t values_len,
    srnn_error *error);

/**
 * Replaces the weights, row-major, then the bias with `values`.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_write_values(srnn_dense *dense, const float *values, size_t values_len,
    srnn_error *error);

/**
 * Runs the layer over any number of rows: large products on the threads of the session's pool, if it has one. With NULL
 * for `session` on the caller's thread alone.
 *
 * - x: (rows, in_features)
 * - y: (rows, out_features)
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_forward(const srnn_dense *dense, srnn_session *session, const float *x,
    size_t x_len, float *y, size_t y_len, srnn_error *error);

/**
 * Gradients of a loss through a forward.
 *
 * - x: (rows, in_features), what forward read
 * - dy: (rows, out_features), the gradient of what it wrote
 * - dx: receives the gradient of x; NULL if it is not wanted
 * - grads: gradients of weights and bias are added to these, srnn_dense_value_count of them; may be NULL
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_backward(const srnn_dense *dense, srnn_session *session, const float *x,
    size_t x_len, const float *dy, size_t dy_len, float *dx, size_t dx_len, float *grads, size_t grads_len,
    srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Activations
 */

/**
 * Softmax of every row of `x`. A row with NaN, with +inf, or with nothing but -inf becomes NaN, as in PyTorch; any other
 * -inf gives 0.
 *
 * - x, y: (rows, cols)
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_softmax(size_t cols, const float *x, size_t x_len, float *y, size_t y_len,
    srnn_error *error);

/**
 * The natural logarithm of srnn_softmax, computed without cancellation.
 *
 * - x, y: (rows, cols)
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_log_softmax(size_t cols, const float *x, size_t x_len, float *y, size_t y_len,
    srnn_error *error);

/** The logistic function 1 / (1 + exp(-x)) of every value, in place. */
SRNN_MUST_USE SRNN_API srnn_status srnn_sigmoid(float *x, size_t x_len, srnn_error *error);

/** The hyperbolic tangent of every value, in place, as precise as in the cells. */
SRNN_MUST_USE SRNN_API srnn_status srnn_tanh(float *x, size_t x_len, srnn_error *error);

/** max(x, 0) of every value, in place. NaN stays NaN. */
SRNN_MUST_USE SRNN_API srnn_status srnn_relu(float *x, size_t x_len, srnn_error *error);

/**
 * Backward of srnn_sigmoid: turns `d`, the gradient of its results `y`, into the gradient of its inputs, d * y * (1 - y), in place.
 *
 * - y, d: of one length
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_sigmoid_backward(const float *y, size_t y_len, float *d, size_t d_len,
    srnn_error *error);

/**
 * Backward of srnn_tanh: turns `d`, the gradient of its results `y`, into the gradient of its inputs, d * (1 - y * y), in place.
 *
 * - y, d: of one length
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tanh_backward(const float *y, size_t y_len, float *d, size_t d_len,
    srnn_error *error);

/**
 * Backward of srnn_relu: turns `d`, the gradient of its results `y`, into the gradient of its inputs, d where y > 0, else 0, in place.
 *
 * - y, d: of one length
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_relu_backward(const float *y, size_t y_len, float *d, size_t d_len,
    srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Dropout
 */

/**
 * Dropout in place (torch.nn.functional.dropout): each value becomes 0 with probability `p`, the others are divided by
 * 1 - p. A value's fate depends on `seed` and on its position, `offset` plus its index, alone, so nothing is stored, and
 * backward is the same call on the gradient.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for `p` outside [0, 1].
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dropout(double p, uint64_t seed, uint64_t offset, float *x, size_t x_len,
    srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Losses
 *
 * Each writes its value and, on request, the gradient of that value. Sums run in double in a fixed order, so a finite
 * loss has the same bits on every machine. NaN or infinite inputs are not hidden: they reach the loss and the gradient.
 */

/** How the losses of single rows or values become one. */
typedef enum srnn_reduction {
  /** Their mean; where classes have weights, the weighted mean. */
  SRNN_REDUCTION_MEAN = 0,
  /** Their sum. */
  SRNN_REDUCTION_SUM = 1,
} srnn_reduction;

/** Options of the losses. Where a loss takes NULL, that means what srnn_loss_options_init fills in. */
typedef struct srnn_loss_options {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** An srnn_reduction. Default SRNN_REDUCTION_MEAN. */
  int32_t reduction;
  /** Cross-entropy: rows with this target take no part. Default -100. */
  int64_t ignore_index;
  /**
   * One finite value >= 0 for each class: cross-entropy's weight, or binary cross-entropy's pos_weight. Default NULL,
   * all 1.
   */
  const float *weight;
  /** The number of classes if there are weights, else 0. */
  size_t weight_len;
  /** Zero. */
  uint64_t reserved[2];
} srnn_loss_options;

/** Fills in `options` with PyTorch's defaults. NULL is ignored. */
SRNN_API void srnn_loss_options_init(srnn_loss_options *options);

/**
 * Softmax cross-entropy over class indices (torch.nn.CrossEntropyLoss).
 *
 * - logits: (targets_len, classes)
 * - targets: for each row a class, or ignore_index
 * - loss: receives the loss; with a weighted mean, divided by the sum of the targets' weights
 * - dlogits: receives the gradient of logits; NULL if it is not wanted
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a target that is no class, a weight
 * that is negative or not finite, and a mean over nothing.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_cross_entropy(const srnn_loss_options *options, size_t classes,
    const float *logits, size_t logits_len, const int64_t *targets, size_t targets_len, double *loss, float *dlogits,
    size_t dlogits_len, srnn_error *error);

/**
 * Sigmoid binary cross-entropy on logits, for any number of labels a row (torch.nn.BCEWithLogitsLoss).
 *
 * - logits: (rows, classes)
 * - targets: the same shape, each in [0, 1]
 * - loss: receives the loss; a mean is over all values
 * - dlogits: receives the gradient of logits; NULL if it is not wanted
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a target outside [0, 1], a weight that
 * is negative or not finite, and a mean over nothing.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_bce_with_logits(const srnn_loss_options *options, size_t classes,
    const float *logits, size_t logits_len, const float *targets, size_t targets_len, double *loss, float *dlogits,
    size_t dlogits_len, srnn_error *error);

/**
 * Mean squared error (torch.nn.MSELoss).
 *
 * - prediction, target: of one length
 * - loss: receives the loss
 * - dprediction: receives the gradient of prediction; NULL if it is not wanted
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for options with weights, which this loss
 * does not have, and a mean over nothing.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_mse_loss(const srnn_loss_options *options, const float *prediction,
    size_t prediction_len, const float *target, size_t target_len, double *loss, float *dprediction,
    size_t dprediction_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Gradient clipping
 */

/**
 * Writes the L2 norm of several gradients together to `norm`. NaN or infinite where a gradient is.
 *
 * - grads, lengths: `count` arrays and their lengths
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_grad_norm(const float *const *grads, const size_t *lengths, size_t count,
    double *norm, srnn_error *error);

/**
 * Scales several gradients together so that their L2 norm is at most `max_norm` (torch.nn.utils.clip_grad_norm_), and
 * writes the norm from before to `norm`, which may be NULL. Gradients whose norm is not finite stay as they are: with
 * `error_if_nonfinite` 1 the call fails, with 0 check `norm` to skip such a step. An infinite `max_norm` only measures.
 *
 * - grads, lengths: `count` arrays and their lengths; they must not overlap
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a max_norm that is negative or NaN, and for arrays that overlap;
 * SRNN_ERROR_NON_FINITE; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_clip_grad_norm(float *const *grads, const size_t *lengths, size_t count,
    double max_norm, int32_t error_if_nonfinite, double *norm, srnn_error *error);

/**
 * Limits every value of several gradients to -clip_value .. clip_value (torch.nn.utils.clip_grad_value_). NaN stays NaN.
 *
 * - grads, lengths: `count` arrays and their lengths; they must not overlap
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a clip_value that is negative or NaN, and for arrays that overlap;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_clip_grad_value(float *const *grads, const size_t *lengths, size_t count,
    float clip_value, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Optimizers
 *
 * SGD, Adam, AdamW and RMSprop with PyTorch's semantics. srnn_optimizer_step updates a whole model, a list of modules with
 * their gradients. Piece by piece, a step is srnn_optimizer_begin_step, then one update for every parameter array. A slot
 * holds the state of one of them, is created by the slot's first update, and counts its own updates: a module's slot is
 * its place in the list, and the caller numbers the pieces.
 */

/** Optimizers. */
typedef enum srnn_optimizer_kind {
  /** Stochastic gradient descent (torch.optim.SGD). */
  SRNN_OPTIMIZER_SGD = 0,
  /** Adam (torch.optim.Adam). */
  SRNN_OPTIMIZER_ADAM = 1,
  /** Adam with decoupled weight decay (torch.optim.AdamW). */
  SRNN_OPTIMIZER_ADAMW = 2,
  /** RMSprop (torch.optim.RMSprop). */
  SRNN_OPTIMIZER_RMSPROP = 3,
} srnn_optimizer_kind;

/** What becomes of a step whose loss or gradients are NaN or infinite. It is decided before anything changes. */
typedef enum srnn_non_finite {
  /** The call fails with SRNN_ERROR_NON_FINITE, as if it had never been made. */
  SRNN_NON_FINITE_STOP = 0,
  /** The step is left out: parameters and the optimizer's state stay, and a count tells of it. */
  SRNN_NON_FINITE_SKIP = 1,
  /** The step is taken with what came out: NaN goes into parameters and state. */
  SRNN_NON_FINITE_CONTINUE = 2,
} srnn_non_finite;

/** An optimizer and its state. */
typedef struct srnn_optimizer srnn_optimizer;

/**
 * Hyperparameters, with PyTorch's names. A kind reads only its own. Fill it in with srnn_optimizer_config_init, then
 * change fields.
 */
typedef struct srnn_optimizer_config {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** An srnn_optimizer_kind. */
  int32_t kind;
  /** Learning rate. Default 1e-3; RMSprop 1e-2. */
  double lr;
  /** Added to the gradient times the parameter; AdamW takes it off the parameter times lr. Default 0; AdamW 1e-2. */
  double weight_decay;
  /** SGD, RMSprop: momentum. Default 0, none. */
  double momentum;
  /** SGD: the gradient enters the momentum times 1 - dampening. Default 0. */
  double dampening;
  /** Adam, AdamW: decay rate of the running mean of gradients, in [0, 1). Default 0.9. */
  double beta1;
  /** Adam, AdamW: decay rate of the running mean of their squares, in [0, 1). Default 0.999. */
  double beta2;
  /** RMSprop: decay rate of the running mean of squares, in [0, 1]. Default 0.99. */
  double alpha;
  /** Adam, AdamW, RMSprop: added to the denominator. Default 1e-8. */
  double eps;
  /** SGD: 1 for Nesterov's momentum. Default 0. */
  int32_t nesterov;
  /** RMSprop: 1 to divide by the standard deviation. Default 0. */
  int32_t centered;
  /**
   * An srnn_non_finite: what an update does with a gradient that is not finite, and a trainer's step with such a loss or
   * norm. Default SRNN_NON_FINITE_STOP.
   */
  int32_t non_finite;
  /** Zero. */
  uint32_t reserved[7];
} srnn_optimizer_config;

/**
 * Fills in `config` with PyTorch's defaults for `kind` (an srnn_optimizer_kind). Values are checked by
 * srnn_optimizer_create. NULL is ignored.
 */
SRNN_API void srnn_optimizer_config_init(srnn_optimizer_config *config, int32_t kind);

/**
 * Creates an optimizer without slots. The caller destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT, naming the field, for a value that the optimizer cannot work with;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_create(const srnn_optimizer_config *config,
    srnn_optimizer **optimizer, srnn_error *error);

/** Destroys an optimizer. NULL is allowed. */
SRNN_API void srnn_optimizer_destroy(srnn_optimizer *optimizer);

/** The learning rate; 0 for NULL. */
SRNN_API double srnn_optimizer_lr(const srnn_optimizer *optimizer);

/**
 * Sets the learning rate from the next update on.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for one that is negative or not finite.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_set_lr(srnn_optimizer *optimizer, double lr, srnn_error *error);

/**
 * Spreads large updates, and the packing of the updated weights, over the threads of `pool` from now on; NULL for the
 * caller's thread alone. The pool may be destroyed before the optimizer. The number of threads changes no bit.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_set_pool(srnn_optimizer *optimizer, const srnn_pool *pool,
    srnn_error *error);

/** Steps begun so far, those that were left out not counted; 0 for NULL. */
SRNN_API uint64_t srnn_optimizer_step_count(const srnn_optimizer *optimizer);

/** Updates that SRNN_NON_FINITE_SKIP left out; 0 for NULL. */
SRNN_API uint64_t srnn_optimizer_skipped_count(const srnn_optimizer *optimizer);

/** Begins the next step: every slot may be updated once more. */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_begin_step(srnn_optimizer *optimizer, srnn_error *error);

/**
 * Updates all parameters of `rnn` with their gradients, as slot `slot`.
 *
 * Errors: SRNN_ERROR_INVALID_STATE before the first begin_step and for a slot that this step already updated;
 * SRNN_ERROR_SHAPE_MISMATCH for another model's grads and for a slot that was created for another length;
 * SRNN_ERROR_NON_FINITE, if that is the configuration's choice; SRNN_ERROR_OUT_OF_MEMORY. After each, parameters and
 * optimizer are as if the call had not been made.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_update_rnn(srnn_optimizer *optimizer, size_t slot, srnn_rnn *rnn,
    const srnn_grads *grads, srnn_error *error);

/**
 * Updates weights and bias of `dense` with `grads`, srnn_dense_value_count of them, as slot `slot`. Errors are those of
 * srnn_optimizer_update_rnn.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_update_dense(srnn_optimizer *optimizer, size_t slot,
    srnn_dense *dense, const float *grads, size_t grads_len, srnn_error *error);

/**
 * Updates the table of `embedding`, unless it is frozen, as slot `slot`. Rows without a gradient move where the
 * optimizer says so, bit for bit as with a dense gradient, but without weight decay only rows that ever had a gradient
 * are visited. Errors are those of srnn_optimizer_update_rnn.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_update_embedding(srnn_optimizer *optimizer, size_t slot,
    srnn_embedding *embedding, const srnn_embedding_grads *grads, srnn_error *error);

/**
 * Updates the caller's own parameters `values` with `grads`, of the same length, as slot `slot`. Errors are those of
 * srnn_optimizer_update_rnn.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_update(srnn_optimizer *optimizer, size_t slot, float *values,
    size_t values_len, const float *grads, size_t grads_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Training steps
 *
 * What a training step does to all modules of a model together: it zeroes their gradients, clips them, and updates the
 * parameters. Between the first two come forward, the loss and backward.
 *
 *   srnn_modules_zero_grad, srnn_rnn_forward, srnn_rnn_backward, srnn_modules_clip_grad_norm, srnn_optimizer_step
 */

/**
 * A module with its gradients: exactly one of `rnn`, `embedding`, `dense` and `values`. Fill it in with srnn_module_init, then
 * change fields. A model is an array of them, in the same order every step. A module without gradients is passed over and
 * keeps its place.
 */
typedef struct srnn_module {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** Zero. */
  uint32_t reserved0;
  /** Recurrent layers. */
  srnn_rnn *rnn;
  /** Their gradients. */
  srnn_grads *rnn_grads;
  /** An embedding. While it is frozen, its gradients count nowhere. */
  srnn_embedding *embedding;
  /** Its gradient. */
  srnn_embedding_grads *embedding_grads;
  /** A dense layer. */
  srnn_dense *dense;
  /** Parameters of the caller's own. */
  float *values;
  /** Values of `values`. */
  size_t values_len;
  /** Gradients of `dense`, srnn_dense_value_count of them, or of `values`. */
  float *grads;
  /** Values of `grads`. */
  size_t grads_len;
  /** Zero. */
  uint64_t reserved[2];
} srnn_module;

/** Fills in `module` with nothing. NULL is ignored. */
SRNN_API void srnn_module_init(srnn_module *module);

/**
 * Sets all gradients to zero (torch.nn.Module.zero_grad).
 *
 * - modules: a model, `modules_len` structs of the same size
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a struct with no module or several, gradients of another kind, and a handle or an
 * array that is there twice; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_modules_zero_grad(const srnn_module *modules, size_t modules_len,
    srnn_error *error);

/**
 * Scales all gradients together so that their L2 norm is at most `max_norm` (torch.nn.utils.clip_grad_norm_), and writes the
 * norm from before to `norm`, which may be NULL. Gradients whose norm is not finite stay as they are: with
 * `error_if_nonfinite` 1 the call fails, with 0 the optimizer's `non_finite` decides. An infinite `max_norm` only measures.
 *
 * Errors: as srnn_modules_zero_grad; SRNN_ERROR_INVALID_ARGUMENT for a max_norm that is negative or NaN;
 * SRNN_ERROR_NON_FINITE.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_modules_clip_grad_norm(const srnn_module *modules, size_t modules_len,
    double max_norm, int32_t error_if_nonfinite, double *norm, srnn_error *error);

/**
 * One training step (torch.optim.Optimizer.step): updates the parameters of all modules with their gradients, each as the slot
 * of its place in `modules`. Whether all gradients are finite is seen before anything changes, and the configuration's
 * `non_finite` says what follows, for the whole step.
 *
 * Errors: as srnn_modules_zero_grad; SRNN_ERROR_SHAPE_MISMATCH for gradients of another model or length and for a slot that
 * was created for another length; SRNN_ERROR_NON_FINITE, if that is the configuration's choice. After each, parameters and
 * optimizer are as if the call had not been made.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_step(srnn_optimizer *optimizer, const srnn_module *modules,
    size_t modules_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Weight files
 *
 * Named tensors in the safetensors format, as PyTorch programs write them. Files are written to a temporary name,
 * ".NAME.simdrnn-0.tmp" beside the file or with another number, flushed to the disk and renamed: a failed save leaves an
 * existing file as it was, and the next save removes what a killed one left. An existing file keeps its permissions, and a
 * symbolic link leads to the file that is written, also if that does not exist yet.
 */

/** A safetensors file in memory, for the weights of other layers. */
typedef struct srnn_tensor_file srnn_tensor_file;

/** Tensors and metadata that are to become a safetensors file. */
typedef struct srnn_tensor_writer srnn_tensor_writer;

/** How strictly tensors are loaded. Fill it in with srnn_load_options_init, then change fields. */
typedef struct srnn_load_options {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** 1 to take NaN and infinite values. Default 0: they are errors. */
  int32_t allow_non_finite;
  /** 1 to pass over tensors that stay unused. Default 0: they are errors. */
  int32_t allow_unused;
  /** Zero. */
  uint32_t reserved0;
  /** Zero. */
  uint64_t reserved[2];
} srnn_load_options;

/** How strictly tensors are saved. Fill it in with srnn_save_options_init, then change fields. */
typedef struct srnn_save_options {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** 1 to write NaN and infinite values. Default 0: they are errors, as loading refuses them. */
  int32_t allow_non_finite;
  /** Zero. */
  uint64_t reserved[2];
} srnn_save_options;

/** Fills in `options`: strict. NULL is ignored. */
SRNN_API void srnn_load_options_init(srnn_load_options *options);

/** Fills in `options`: strict. NULL is ignored. */
SRNN_API void srnn_save_options_init(srnn_save_options *options);

/**
 * Reads all parameters of `rnn` from the file at `path`, in which their torch.nn names follow `prefix` ("lstm.", or ""),
 * as f32, f64, f16 or bf16; as srnn_rnn_load_tensors with the defaults. The weights change only if all could be read.
 *
 * Errors: SRNN_ERROR_IO; SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_INVALID_DATA for a damaged file, for
 * values that are not finite and for tensors of the module that stay unused; SRNN_ERROR_SHAPE_MISMATCH for another shape;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_load_safetensors(srnn_rnn *rnn, const char *path, const char *prefix,
    srnn_error *error);

/**
 * Writes all parameters of `rnn`, as f32, to the file at `path`, under `prefix` and their torch.nn names.
 *
 * Errors, with an existing file as it was: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for weights that are not finite;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_save_safetensors(const srnn_rnn *rnn, const char *path, const char *prefix,
    srnn_error *error);

/**
 * Writes the whole state of `optimizer` to the file at `path`, from which training can go on bit for bit.
 *
 * Errors, with an existing file as it was: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for states that are not finite;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_save_safetensors(const srnn_optimizer *optimizer, const char *path,
    srnn_error *error);

/**
 * Makes `optimizer` what the file at `path` holds, as srnn_optimizer_load_tensors with the defaults; its pool stays.
 *
 * Errors: SRNN_ERROR_IO; SRNN_ERROR_NOT_FOUND and SRNN_ERROR_INVALID_DATA for a file that holds no optimizer or a damaged
 * one; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_load_safetensors(srnn_optimizer *optimizer, const char *path,
    srnn_error *error);

/**
 * Reads the file at `path` and checks its header. The caller destroys it.
 *
 * Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for a file that is not whole and consistent; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_file_open(const char *path, srnn_tensor_file **file, srnn_error *error);

/**
 * Takes a safetensors file from memory: a copy of `bytes`. `name` is for error texts. The caller destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_DATA for bytes that are not whole and consistent; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_file_open_memory(const uint8_t *bytes, size_t bytes_len,
    const char *name, srnn_tensor_file **file, srnn_error *error);

/** Destroys a file in memory. NULL is allowed. */
SRNN_API void srnn_tensor_file_destroy(srnn_tensor_file *file);

/** Number of tensors; 0 for NULL. */
SRNN_API size_t srnn_tensor_file_count(const srnn_tensor_file *file);

/**
 * Copies the name of tensor `index`, in byte order, and a closing NUL to `text`, which has room for `text_size` bytes, and
 * its length without the NUL to `text_len`. With NULL and 0 it only measures.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an index that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_file_name(const srnn_tensor_file *file, size_t index, char *text,
    size_t text_size, size_t *text_len, srnn_error *error);

/**
 * Copies the shape of tensor `name`, outermost dimension first, to `shape`, which has room for `shape_len` dimensions, and
 * their number to `ndim`. With NULL and 0 it only counts.
 *
 * Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_file_shape(const srnn_tensor_file *file, const char *name, size_t *shape,
    size_t shape_len, size_t *ndim, srnn_error *error);

/**
 * Copies tensor `name`, stored as f32, f64, f16 or bf16, row-major, to `values`: as many as its shape says.
 *
 * Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_INVALID_DATA for another type and,
 * unless `options` (NULL for the defaults) allow them, for values that are not finite.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_file_read(const srnn_tensor_file *file, const char *name,
    const srnn_load_options *options, float *values, size_t values_len, srnn_error *error);

/**
 * Copies the metadata text under `key` and a closing NUL to `text`, which has room for `text_size` bytes, and its length
 * without the NUL to `text_len`. With NULL and 0 it only measures.
 *
 * Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_file_metadata(const srnn_tensor_file *file, const char *key, char *text,
    size_t text_size, size_t *text_len, srnn_error *error);

/** Creates a writer without tensors. The caller destroys it. */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_writer_create(srnn_tensor_writer **writer, srnn_error *error);

/** Destroys a writer. NULL is allowed. */
SRNN_API void srnn_tensor_writer_destroy(srnn_tensor_writer *writer);

/**
 * Adds a tensor, stored as f32: a copy of `values`, row-major in `shape`, outermost dimension first.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_SHAPE_MISMATCH if the shape has another number
 * of values; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_writer_add(srnn_tensor_writer *writer, const char *name,
    const size_t *shape, size_t shape_len, const float *values, size_t values_len, srnn_error *error);

/**
 * Adds a metadata text under `key`.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a key that is taken; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_writer_add_metadata(srnn_tensor_writer *writer, const char *key,
    const char *text, srnn_error *error);

/**
 * Writes everything to the file at `path`.
 *
 * Errors, with an existing file as it was: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for values that are not finite, unless
 * `options` (NULL for the defaults) allow them; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_tensor_writer_save(const srnn_tensor_writer *writer, const char *path,
    const srnn_save_options *options, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Vocabularies
 *
 * Words by number: 0 is padding, 1 stands for unknown words, the others start at 2. Texts are UTF-8 and are cut into words
 * and other characters.
 */

/** A fixed list of words, and how texts are normalized before they are cut into words. */
typedef struct srnn_vocab srnn_vocab;

/**
 * Creates a vocabulary of `count` words, numbered from 2 on. The caller destroys it.
 *
 * - lowercase: 1 if texts are put in lower case
 * - nfc: 1 if texts are brought to Unicode's form NFC, so that an accented letter as one character and as two is the same
 *
 * Errors: SRNN_ERROR_INVALID_DATA for a word that is empty, comes twice, is "<pad>" or "<unk>", or that no text can have
 * since it is not in lower case or in NFC; SRNN_ERROR_INVALID_ARGUMENT for one that is not UTF-8 and for truth values other
 * than 0 and 1; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vocab_create(const char *const *words, size_t count, int32_t lowercase,
    int32_t nfc, srnn_vocab **vocab, srnn_error *error);

/** Destroys a vocabulary. NULL is allowed. */
SRNN_API void srnn_vocab_destroy(srnn_vocab *vocab);

/**
 * Writes how texts are normalized: 1 to `lowercase` if they are put in lower case, and 1 to `nfc` if they are brought to NFC;
 * 0 otherwise.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vocab_get_normalization(const srnn_vocab *vocab, int32_t *lowercase,
    int32_t *nfc, srnn_error *error);

/** Number of words, the two special ones included; 0 for NULL. */
SRNN_API size_t srnn_vocab_word_count(const srnn_vocab *vocab);

/** Writes the number of `word` to `id`: 1 for an unknown one. */
SRNN_MUST_USE SRNN_API srnn_status srnn_vocab_id(const srnn_vocab *vocab, const char *word, uint32_t *id,
    srnn_error *error);

/**
 * Copies word number `id` and a closing NUL to `text`, which has room for `text_size` bytes, and its length without the
 * NUL to `text_len`. With NULL and 0 it only measures.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a number without a word; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vocab_word(const srnn_vocab *vocab, uint32_t id, char *text, size_t text_size,
    size_t *text_len, srnn_error *error);

/**
 * Cuts `text` into tokens, normalized as the vocabulary says, and copies their numbers to `ids`, which has room for
 * `ids_len` of them, and how many there are to `count`. With NULL and 0 it only counts.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for too little room; SRNN_ERROR_INVALID_ARGUMENT for a text that is not UTF-8;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vocab_encode(const srnn_vocab *vocab, const char *text, uint32_t *ids,
    size_t ids_len, size_t *count, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Labelled texts
 *
 * Files with a line for each example, in UTF-8: "label TAB text", or whatever columns there are.
 */

/** How a line's label field is read. */
typedef enum srnn_label_mode {
  /** One label, whatever it contains. */
  SRNN_LABEL_MODE_SINGLE = 0,
  /** One or more different labels, separated by commas. */
  SRNN_LABEL_MODE_MULTI = 1,
} srnn_label_mode;

/** A dataset's examples in batches of texts of similar length. */
typedef struct srnn_batches srnn_batches;

/** Labelled texts as numbers. */
typedef struct srnn_dataset srnn_dataset;

/**
 * How a file of labelled texts is read. Fill it in with srnn_dataset_options_init, then change fields: the defaults are
 * lines of "label TAB text", one label each, without a header.
 *
 * The file is UTF-8; LF or CR LF ends a line and may be missing after the last; a byte order mark and lines with nothing
 * but spaces are skipped; spaces around a label do not count. Every line has as many columns as the first one, except that
 * without `quotes` a text in the last column may have delimiters in it.
 */
typedef struct srnn_dataset_options {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** An srnn_label_mode. Default SRNN_LABEL_MODE_SINGLE. */
  int32_t mode;
  /** The character between two columns, in ASCII: a tab, a comma, a semicolon. Default a tab, 9. */
  int32_t delimiter;
  /**
   * 1 if columns may stand in double quotes (RFC 4180), and then have delimiters, line ends and doubled quotes in them; 0
   * if a quote is a character as any other. Default 0.
   */
  int32_t quotes;
  /** 1 if the first line has the columns' names. Default 0. */
  int32_t header;
  /**
   * 1 if lines that cannot be used are left out and counted instead of being an error: another number of columns, an
   * empty label, one that comes twice, one that is not among those of training, no token in the text, a NUL, or bytes
   * that are not UTF-8. Default 0.
   */
  int32_t skip_bad_lines;
  /** The label's column, from 0, where label_name is NULL. Default 0. */
  uint64_t label_column;
  /** The text's column, from 0, where text_name is NULL. Default 1. */
  uint64_t text_column;
  /** The label's column by its name in the header, in UTF-8, or NULL. Default NULL. */
  const char *label_name;
  /** The text's column by its name in the header, in UTF-8, or NULL. Default NULL. */
  const char *text_name;
  /** Tokens of a text that are kept, from its start on; 0 for all. Default 0. */
  uint64_t max_tokens;
  /** Zero. */
  uint64_t reserved[4];
} srnn_dataset_options;

/**
 * How a vocabulary is made of the texts of a training file. Fill it in with srnn_vocab_options_init, then change fields.
 */
typedef struct srnn_vocab_options {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** 1 if texts are put in lower case, from now on and for ever: the vocabulary keeps it. Default 1. */
  int32_t lowercase;
  /** 1 if texts are brought to Unicode's form NFC, also for ever. Default 0. */
  int32_t nfc;
  /** Zero. */
  int32_t reserved_flag;
  /** Words seen less often are unknown ones. Default 1. */
  uint64_t min_count;
  /** The most words, the two special ones included. Default UINT64_MAX. */
  uint64_t max_size;
  /** Zero. */
  uint64_t reserved[4];
} srnn_vocab_options;

/** What reading a file found, beside the examples. */
typedef struct srnn_dataset_summary {
  /** Lines with nothing but spaces, which are no examples; with `quotes` only those that have a space. */
  uint64_t blank_lines;
  /** Lines that could not be used and were left out. */
  uint64_t skipped_lines;
  /** The number, from 1, of the first of them; 0 if there are none. srnn_dataset_skip_reason says why. */
  uint64_t first_skipped_line;
  /** Texts that lost tokens to max_tokens. */
  uint64_t cut_texts;
  /** Tokens that they lost. */
  uint64_t cut_tokens;
  /** Labels that exactly one example has. */
  uint64_t labels_once;
  /**
   * 1 if nine of ten labels of a training file, or more, are had by one example only, of at least ten labels: the label's
   * and the text's columns may have been mistaken for one another.
   */
  uint64_t labels_nearly_unique;
  /**
   * 1 if the first line's label is the only one that only one example has, in a training file without a header, of at
   * least three labels: it may be a header.
   */
  uint64_t header_suspected;
  /** Zero. */
  uint64_t reserved[4];
} srnn_dataset_summary;

/** Fills in `options` with defaults. NULL is ignored. */
SRNN_API void srnn_dataset_options_init(srnn_dataset_options *options);

/** Fills in `options` with defaults. NULL is ignored. */
SRNN_API void srnn_vocab_options_init(srnn_vocab_options *options);

/**
 * Reads a training file and builds the labels (in byte order) and the vocabulary from it: words in the order of their
 * frequency, the most frequent first, equally frequent ones in byte order. The caller destroys both.
 *
 * - options: how the file is read; NULL for the defaults
 * - vocab_options: which words count and how texts are normalized; NULL for the defaults
 *
 * Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA, with the line's number, for a line that cannot be used and is not skipped,
 * a quote that is never closed, and a header without the columns' names, and for fewer than two labels;
 * SRNN_ERROR_INVALID_ARGUMENT, naming the field, for options that make no sense; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_open_train(const char *path, const srnn_dataset_options *options,
    const srnn_vocab_options *vocab_options, srnn_dataset **dataset, srnn_vocab **vocab, srnn_error *error);

/** Destroys a dataset. NULL is allowed. */
SRNN_API void srnn_dataset_destroy(srnn_dataset *dataset);

/** Number of examples; 0 for NULL. */
SRNN_API size_t srnn_dataset_example_count(const srnn_dataset *dataset);

/** Writes what reading the file found to `summary`. */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_get_summary(const srnn_dataset *dataset, srnn_dataset_summary *summary,
    srnn_error *error);

/**
 * Copies why the first line that was left out could not be used, and a closing NUL, to `text`, which has room for
 * `text_size` bytes, and its length without the NUL, 0 if no line was left out, to `text_len`. With NULL and 0 it only
 * measures.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_skip_reason(const srnn_dataset *dataset, char *text, size_t text_size,
    size_t *text_len, srnn_error *error);

/** Number of labels; 0 for NULL. */
SRNN_API size_t srnn_dataset_label_count(const srnn_dataset *dataset);

/**
 * Copies the name of label `index` and a closing NUL to `text`, which has room for `text_size` bytes, and its length
 * without the NUL to `text_len`. With NULL and 0 it only measures.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a label that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_label(const srnn_dataset *dataset, size_t index, char *text,
    size_t text_size, size_t *text_len, srnn_error *error);

/**
 * Writes how many examples each label has to `counts`, srnn_dataset_label_count of them.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_label_counts(const srnn_dataset *dataset, uint64_t *counts,
    size_t counts_len, srnn_error *error);

/**
 * Writes where the word numbers of example `index` lie: memory of `dataset`, until it is destroyed.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an example that does not exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_tokens(const srnn_dataset *dataset, size_t index,
    const uint32_t **tokens, size_t *tokens_len, srnn_error *error);

/**
 * Writes where the classes of example `index` lie, ascending: memory of `dataset`, until it is destroyed.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an example that does not exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_targets(const srnn_dataset *dataset, size_t index,
    const uint32_t **targets, size_t *targets_len, srnn_error *error);

/**
 * Creates the batches of one training epoch: shuffled, texts of similar length together, the same on every machine for
 * the same data, size, seed and epoch. They do not keep `dataset`. The caller destroys them.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for batch_size 0; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_batches_create(const srnn_dataset *dataset, size_t batch_size, uint64_t seed,
    uint32_t epoch, srnn_batches **batches, srnn_error *error);

/** Destroys batches. NULL is allowed. */
SRNN_API void srnn_batches_destroy(srnn_batches *batches);

/** Number of batches; 0 for NULL. */
SRNN_API size_t srnn_batches_count(const srnn_batches *batches);

/**
 * Writes where the examples of batch `index` lie: memory of `batches`, until they are destroyed.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a batch that does not exist.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_batches_get(const srnn_batches *batches, size_t index,
    const uint32_t **examples, size_t *examples_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Text classifiers
 *
 * Tokens, embedding, recurrent layers, pooling, dense layer, softmax or sigmoid; saved with vocabulary and labels in one
 * file.
 */

/** How the outputs of all steps become one vector. */
typedef enum srnn_pooling {
  /** The final hidden states of the last layer, both directions side by side. */
  SRNN_POOLING_LAST = 0,
  /** The mean of the last layer's outputs over a text's tokens. */
  SRNN_POOLING_MEAN = 1,
  /** Their maximum. */
  SRNN_POOLING_MAX = 2,
} srnn_pooling;

/**
 * A classifier of texts. Any number of threads may use one at once, each with its own session, as long as none trains it.
 */
typedef struct srnn_classifier srnn_classifier;

/** One caller's memory for running a classifier, kept from call to call. */
typedef struct srnn_classifier_session srnn_classifier_session;

/** The shape of a classifier. Fill it in with srnn_classifier_config_init, then change fields. */
typedef struct srnn_classifier_config {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** An srnn_cell. Default SRNN_CELL_LSTM. */
  int32_t cell;
  /** Features of a token. Default 64. */
  uint64_t embedding_dim;
  /** Features of a hidden state, per direction. Default 64. */
  uint64_t hidden_size;
  /** Recurrent layers. Default 1. */
  uint64_t num_layers;
  /** 1 if layers read the text in both directions. Default 1. */
  int32_t bidirectional;
  /** An srnn_pooling. Default SRNN_POOLING_LAST. */
  int32_t pooling;
  /** Dropout, in training, of embedded tokens, between layers, and before the dense layer. Default 0.3. */
  float dropout;
  /** Zero. */
  int32_t reserved_flag;
  /** The most tokens that are read of a text, in training and in use; 0 for all. What is cut is counted. Default 0. */
  uint64_t max_tokens;
  /** Zero. */
  uint64_t reserved[3];
} srnn_classifier_config;

/** Fills in `config` with defaults. NULL is ignored. */
SRNN_API void srnn_classifier_config_init(srnn_classifier_config *config);

/**
 * Creates a classifier with random weights, the same for the same `seed` on every machine, for the labels of `dataset`
 * (one a text: softmax; any number: a sigmoid each) and a copy of `vocab`, which says how texts are normalized. The caller
 * destroys it.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT, naming the field, for a configuration that makes no sense, and for a dataset that
 * was read with another vocabulary;
 * SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_create(const srnn_classifier_config *config, const srnn_vocab *vocab,
    const srnn_dataset *dataset, uint64_t seed, srnn_classifier **classifier, srnn_error *error);

/**
 * Reads a classifier that srnn_classifier_save wrote. The caller destroys it.
 *
 * Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for a file that is damaged or holds no classifier;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_open(const char *path, srnn_classifier **classifier,
    srnn_error *error);

/**
 * Writes weights, configuration, vocabulary and labels to the safetensors file at `path`.
 *
 * Errors: SRNN_ERROR_IO, with an existing file as it was; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_save(const srnn_classifier *classifier, const char *path,
    srnn_error *error);

/** Destroys a classifier. NULL is allowed. */
SRNN_API void srnn_classifier_destroy(srnn_classifier *classifier);

/** Bytes of weights and their packed forms; 0 for NULL. */
SRNN_API size_t srnn_classifier_bytes(const srnn_classifier *classifier);

/** Number of words of its vocabulary; 0 for NULL. */
SRNN_API size_t srnn_classifier_word_count(const srnn_classifier *classifier);

/** Number of labels; 0 for NULL. */
SRNN_API size_t srnn_classifier_label_count(const srnn_classifier *classifier);

/**
 * Copies the name of label `index` and a closing NUL to `text`, which has room for `text_size` bytes, and its length
 * without the NUL to `text_len`. With NULL and 0 it only measures.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a label that does not exist; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_label(const srnn_classifier *classifier, size_t index, char *text,
    size_t text_size, size_t *text_len, srnn_error *error);

/**
 * Reads a file against the labels and the vocabulary of `classifier`, to evaluate it or to train it further. The caller
 * destroys the dataset.
 *
 * - options: NULL for the defaults, with the classifier's label mode
 *
 * Errors: as srnn_dataset_open_train, but a single label is enough; SRNN_ERROR_INVALID_DATA for a label that the classifier
 * does not have; SRNN_ERROR_INVALID_ARGUMENT for another label mode than the classifier's.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_open(const srnn_classifier *classifier, const char *path,
    const srnn_dataset_options *options, srnn_dataset **dataset, srnn_error *error);

/** Creates a session that works on the caller's thread. The caller destroys it. */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_session_create(srnn_classifier_session **session, srnn_error *error);

/** Destroys a session. NULL is allowed. */
SRNN_API void srnn_classifier_session_destroy(srnn_classifier_session *session);

/**
 * Spreads the session's work over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may be
 * destroyed before the session. The number of threads changes no bit.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_session_set_pool(srnn_classifier_session *session,
    const srnn_pool *pool, srnn_error *error);

/**
 * Writes the probability of every label of `text` to `probabilities`, srnn_classifier_label_count of them. A text without
 * a token counts as one unknown word.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_INVALID_ARGUMENT for a text that is not UTF-8;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_classify(const srnn_classifier *classifier,
    srnn_classifier_session *session, const char *text, float *probabilities, size_t probabilities_len,
    srnn_error *error);

/** Texts so far of which only the first max_tokens were read; 0 for NULL. */
SRNN_API uint64_t srnn_classifier_session_truncated_count(const srnn_classifier_session *session);

/**
 * Writes the probabilities, (examples, labels), of all examples of `dataset`, worked on `batch_size` at a time.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for the length; SRNN_ERROR_INVALID_ARGUMENT for batch_size 0 or word numbers of
 * another vocabulary; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_predict(const srnn_classifier *classifier,
    srnn_classifier_session *session, const srnn_dataset *dataset, size_t batch_size, float *probabilities,
    size_t probabilities_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Modules in weight files
 *
 * Recurrent and dense layers, embeddings, optimizers and classifiers read their tensors from an opened file, so that one
 * file serves several, and add them to a writer that becomes one file. Tensors have PyTorch's names, after a prefix such as
 * "encoder.lstm.", or "". Loading is strict: tensors whose names follow the prefix without another dot and which the
 * module does not take are errors, and so are NaN and infinite values; srnn_load_options allow them. A failed load changes
 * nothing.
 */

/**
 * Reads all parameters of `rnn` from tensors of `file` whose names follow `prefix`, under torch.nn's names; one layer in one direction may also have those of
 * torch.nn.LSTMCell and its kin, without "_l0".
 *
 * Errors: SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_SHAPE_MISMATCH for another shape;
 * SRNN_ERROR_INVALID_DATA for another type and, unless `options` (NULL for the defaults) allow them, for values that are
 * not finite and tensors that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_load_tensors(srnn_rnn *rnn, const srnn_tensor_file *file,
    const char *prefix, const srnn_load_options *options, srnn_error *error);

/**
 * Adds all parameters of `rnn` to `writer`: copies, as f32, under `prefix` and the names that srnn_rnn_load_tensors reads.
 *
 * Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_rnn_save_tensors(const srnn_rnn *rnn, srnn_tensor_writer *writer,
    const char *prefix, srnn_error *error);

/**
 * Reads weights and bias of `dense` from tensors of `file` whose names follow `prefix`: "weight", (out_features, in_features), and, if
 * the layer has a bias, "bias".
 *
 * Errors: SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_SHAPE_MISMATCH for another shape;
 * SRNN_ERROR_INVALID_DATA for another type and, unless `options` (NULL for the defaults) allow them, for values that are
 * not finite and tensors that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_load_tensors(srnn_dense *dense, const srnn_tensor_file *file,
    const char *prefix, const srnn_load_options *options, srnn_error *error);

/**
 * Adds weights and bias of `dense` to `writer`: copies, as f32, under `prefix` and the names that srnn_dense_load_tensors reads.
 *
 * Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_save_tensors(const srnn_dense *dense, srnn_tensor_writer *writer,
    const char *prefix, srnn_error *error);

/**
 * Reads weights and bias of `dense` from the safetensors file at `path`, as srnn_dense_load_tensors with the defaults.
 *
 * Errors: as there and as srnn_tensor_file_open.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_load_safetensors(srnn_dense *dense, const char *path, const char *prefix,
    srnn_error *error);

/**
 * Writes weights and bias of `dense` to the safetensors file at `path`, under `prefix`.
 *
 * Errors: as srnn_tensor_writer_save with the defaults.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dense_save_safetensors(const srnn_dense *dense, const char *path,
    const char *prefix, srnn_error *error);

/**
 * Reads the table of `embedding` from tensors of `file` whose names follow `prefix`: "weight", (num_embeddings, embedding_dim).
 *
 * Errors: SRNN_ERROR_NOT_FOUND for a missing tensor; SRNN_ERROR_SHAPE_MISMATCH for another shape;
 * SRNN_ERROR_INVALID_DATA for another type and, unless `options` (NULL for the defaults) allow them, for values that are
 * not finite and tensors that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_load_tensors(srnn_embedding *embedding, const srnn_tensor_file *file,
    const char *prefix, const srnn_load_options *options, srnn_error *error);

/**
 * Adds the table of `embedding` to `writer`: copies, as f32, under `prefix` and the names that srnn_embedding_load_tensors reads.
 *
 * Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_save_tensors(const srnn_embedding *embedding,
    srnn_tensor_writer *writer, const char *prefix, srnn_error *error);

/**
 * Reads the table of `embedding` from the safetensors file at `path`, as srnn_embedding_load_tensors with the defaults.
 *
 * Errors: as there and as srnn_tensor_file_open.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_load_safetensors(srnn_embedding *embedding, const char *path,
    const char *prefix, srnn_error *error);

/**
 * Writes the table of `embedding` to the safetensors file at `path`, under `prefix`.
 *
 * Errors: as srnn_tensor_writer_save with the defaults.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_save_safetensors(const srnn_embedding *embedding, const char *path,
    const char *prefix, srnn_error *error);

/**
 * Makes `optimizer` what `file` holds, whatever its kind was before; its pool stays.
 *
 * Errors: SRNN_ERROR_NOT_FOUND, SRNN_ERROR_SHAPE_MISMATCH, SRNN_ERROR_INVALID_ARGUMENT and SRNN_ERROR_INVALID_DATA for a
 * file that holds no optimizer or a damaged one and, unless `options` (NULL for the defaults) allow them, for states that
 * are not finite and tensors under "optimizer." that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_load_tensors(srnn_optimizer *optimizer, const srnn_tensor_file *file,
    const srnn_load_options *options, srnn_error *error);

/**
 * Adds the whole state of `optimizer` to `writer`: tensors under "optimizer." and metadata.
 *
 * Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_optimizer_save_tensors(const srnn_optimizer *optimizer,
    srnn_tensor_writer *writer, srnn_error *error);

/**
 * Creates the classifier that `file` holds, as srnn_classifier_save wrote it. The caller destroys it.
 *
 * Errors: SRNN_ERROR_NOT_FOUND, SRNN_ERROR_SHAPE_MISMATCH and SRNN_ERROR_INVALID_DATA for a file that is damaged or holds
 * no classifier and, unless `options` (NULL for the defaults) allow them, for weights that are not finite and tensors of
 * the file, but for those under "optimizer." and "trainer.", that stay unused; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_open_tensors(const srnn_tensor_file *file,
    const srnn_load_options *options, srnn_classifier **classifier, srnn_error *error);

/**
 * Adds weights, configuration, vocabulary and labels of `classifier` to `writer`.
 *
 * Errors, with nothing added: SRNN_ERROR_INVALID_ARGUMENT for a name that is taken; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_save_tensors(const srnn_classifier *classifier,
    srnn_tensor_writer *writer, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Training of text classifiers
 */

/** A training run: optimizer, gradients, and memory that is kept from step to step. */
typedef struct srnn_trainer srnn_trainer;

/**
 * Where a run over shuffled batches stands: what srnn_batches_create needs to make them again, and the next to come.
 */
typedef struct srnn_training_position {
  /** Examples in a batch. */
  uint64_t batch_size;
  /** Decides the order. */
  uint64_t seed;
  /** The batch of this epoch that comes next, from 0; their number once the epoch is done. */
  uint64_t batch;
  /** The epoch, from 0. */
  uint32_t epoch;
  /** Zero. */
  uint32_t reserved[7];
} srnn_training_position;

/** What one training step found. */
typedef struct srnn_step_report {
  /** The mean loss over the batch, before the step. */
  double loss;
  /** The gradients' global norm before clipping. */
  double grad_norm;
  /** Texts whose most probable class was right, or of which all labels were. */
  uint64_t correct;
  /** Tokens read of the batch. */
  uint64_t tokens;
  /** 1 if the step was left out, because loss or norm is not finite and SRNN_NON_FINITE_SKIP is chosen. */
  uint64_t skipped;
  /** Texts of which only the classifier's first max_tokens were read. */
  uint64_t truncated;
  /** Zero. */
  uint64_t reserved[2];
} srnn_step_report;

/**
 * Creates a trainer for `classifier`, or for another of the same shape; it does not keep it. The caller destroys it.
 *
 * - optimizer: the optimizer and its learning rate, and what a step does that is not finite
 * - clip_norm: gradients are scaled down to this global norm; infinite for no clipping
 * - seed: decides dropout
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a configuration that makes no sense; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_trainer_create(const srnn_classifier *classifier,
    const srnn_optimizer_config *optimizer, double clip_norm, uint64_t seed, srnn_trainer **trainer, srnn_error *error);

/** Destroys a trainer. NULL is allowed. */
SRNN_API void srnn_trainer_destroy(srnn_trainer *trainer);

/**
 * Spreads the trainer's work over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may be
 * destroyed before the trainer. The number of threads changes no bit.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_trainer_set_pool(srnn_trainer *trainer, const srnn_pool *pool,
    srnn_error *error);

/** The learning rate; 0 for NULL. */
SRNN_API double srnn_trainer_lr(const srnn_trainer *trainer);

/** Steps taken; 0 for NULL. */
SRNN_API uint64_t srnn_trainer_step_count(const srnn_trainer *trainer);

/** Steps that SRNN_NON_FINITE_SKIP left out; 0 for NULL. */
SRNN_API uint64_t srnn_trainer_skipped_count(const srnn_trainer *trainer);

/** Fills in `config` with the optimizer's kind and hyperparameters, with the present learning rate. */
SRNN_MUST_USE SRNN_API srnn_status srnn_trainer_get_optimizer_config(const srnn_trainer *trainer,
    srnn_optimizer_config *config, srnn_error *error);

/**
 * Sets the learning rate from the next step on.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for one that is negative or not finite.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_trainer_set_lr(srnn_trainer *trainer, double lr, srnn_error *error);

/**
 * Writes `classifier` and the whole state of its training to one safetensors file, from which srnn_trainer_open goes on
 * bit for bit. srnn_classifier_open reads the classifier in it.
 *
 * - position: where the run stands among its batches; NULL for a position of zeros
 *
 * Errors: SRNN_ERROR_IO, with an existing file as it was; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_trainer_save(const srnn_trainer *trainer, const srnn_classifier *classifier,
    const srnn_training_position *position, const char *path, srnn_error *error);

/**
 * Reads what srnn_trainer_save wrote: a trainer, its classifier, and where the run stood (`position` may be NULL). The caller
 * destroys trainer and classifier.
 *
 * Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA for a file that is damaged or holds no classifier; SRNN_ERROR_NOT_FOUND
 * for one that holds no training run; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_trainer_open(const char *path, srnn_trainer **trainer,
    srnn_classifier **classifier, srnn_training_position *position, srnn_error *error);

/**
 * One training step on some `examples` of `dataset`, by their numbers, as srnn_batches_get gives them. What it found goes
 * to `report`, which may be NULL. Whether loss and gradients are finite is seen before anything changes, and the optimizer
 * configuration's `non_finite` says what follows. A step that is left out changes neither classifier nor optimizer, but
 * the next one draws other dropout masks.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT if there are no examples or one does not exist, if the dataset has other labels than
 * the classifier, or words that it has not; SRNN_ERROR_SHAPE_MISMATCH for a classifier of another shape than the
 * trainer's; SRNN_ERROR_NON_FINITE; SRNN_ERROR_OUT_OF_MEMORY. After each, trainer and classifier are as if the call had not
 * been made.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_trainer_step(srnn_trainer *trainer, srnn_classifier *classifier,
    const srnn_dataset *dataset, const uint32_t *examples, size_t examples_len, srnn_step_report *report,
    srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Scores
 *
 * How good predictions are: counted for each class, and averaged.
 */

/** How the scores of several classes become one. */
typedef enum srnn_averaging {
  /** Of the counts of all classes together. */
  SRNN_AVERAGING_MICRO = 0,
  /** The mean over all classes, those without an example too. */
  SRNN_AVERAGING_MACRO = 1,
  /** The mean weighted by the classes' support. */
  SRNN_AVERAGING_WEIGHTED = 2,
} srnn_averaging;

/** Counts of true and predicted classes. */
typedef struct srnn_metrics srnn_metrics;

/** Scores of a class, or averages; each is 0 where there is nothing to divide by. */
typedef struct srnn_scores {
  /** Share of the predictions that are true. */
  double precision;
  /** Share of the true ones that were predicted. */
  double recall;
  /** Harmonic mean of both; of an average the mean of the classes'. */
  double f1;
  /** Examples of the class, or of all: where examples have several labels, their labels. */
  uint64_t support;
  /** Zero. */
  uint64_t reserved[4];
} srnn_scores;

/**
 * Creates counts for `classes` classes; for one label an example they take 8 bytes for each pair of classes. The caller
 * destroys them.
 *
 * - mode: an srnn_label_mode
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown mode; SRNN_ERROR_SIZE_OVERFLOW; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_metrics_create(size_t classes, int32_t mode, srnn_metrics **metrics,
    srnn_error *error);

/** Destroys counts. NULL is allowed. */
SRNN_API void srnn_metrics_destroy(srnn_metrics *metrics);

/**
 * Counts one example: its classes and the predicted ones, both ascending; one each with SRNN_LABEL_MODE_SINGLE.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for classes that are not there or not ascending; SRNN_ERROR_SHAPE_MISMATCH for more or
 * fewer than one where one is expected.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_metrics_add(srnn_metrics *metrics, const uint32_t *targets, size_t targets_len,
    const uint32_t *predicted, size_t predicted_len, srnn_error *error);

/**
 * Counts all examples of `dataset`, given the probabilities, (examples, labels), that srnn_classifier_predict wrote: with
 * SRNN_LABEL_MODE_SINGLE the most probable class is predicted, the first of equals; otherwise all whose probability is above
 * their threshold.
 *
 * - thresholds: one for all labels or one for each; none, NULL and 0, for 0.5, and with SRNN_LABEL_MODE_SINGLE
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for data of another label mode or number of labels; SRNN_ERROR_SHAPE_MISMATCH for the
 * lengths; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_metrics_add_dataset(srnn_metrics *metrics, const srnn_dataset *dataset,
    const float *probabilities, size_t probabilities_len, const float *thresholds, size_t thresholds_len,
    srnn_error *error);

/**
 * Writes the scores of one class to `scores`.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a class that does not exist; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_metrics_class(const srnn_metrics *metrics, size_t index, srnn_scores *scores,
    srnn_error *error);

/**
 * Writes the scores of all classes as one to `scores`. With one label an example, the micro averages are all the accuracy.
 *
 * - averaging: an srnn_averaging
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for an unknown averaging; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_metrics_average(const srnn_metrics *metrics, int32_t averaging,
    srnn_scores *scores, srnn_error *error);

/**
 * Writes the share of examples whose labels were all predicted right, and no other, to `accuracy`; 0 if there are none.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_metrics_accuracy(const srnn_metrics *metrics, double *accuracy,
    srnn_error *error);

/**
 * Writes how often an example of class `target` was predicted as `predicted` to `count`.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for classes that do not exist, and where examples have several labels.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_metrics_confusion(const srnn_metrics *metrics, uint32_t target,
    uint32_t predicted, uint64_t *count, srnn_error *error);

/**
 * Writes for each label of `dataset` the threshold with the largest F1 on its examples to `thresholds`, one a label, given
 * the probabilities, (examples, labels), that srnn_classifier_predict wrote: half way between two probabilities that occur,
 * of equal ones the largest; 0.5 for a label without an example. To be chosen on other texts than those that it is then judged by.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for examples with one label each; SRNN_ERROR_SHAPE_MISMATCH for the lengths;
 * SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_dataset_best_thresholds(const srnn_dataset *dataset, const float *probabilities,
    size_t probabilities_len, float *thresholds, size_t thresholds_len, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Pretrained word vectors
 *
 * Word2Vec, GloVe, fastText and Navec files, recognized by content, gzip, xz and zip unpacked, as a table to look words up in.
 * Words are NUL-terminated bytes; a word with a NUL inside cannot be asked for.
 */

/** A file format of word vectors. */
typedef enum srnn_vectors_format {
  /** Recognized by content. */
  SRNN_VECTORS_FORMAT_ANY = 0,
  /** Word2Vec's binary form. */
  SRNN_VECTORS_FORMAT_WORD2VEC_BINARY = 1,
  /** Word2Vec's text form, which is fastText's .vec too. */
  SRNN_VECTORS_FORMAT_WORD2VEC_TEXT = 2,
  /** GloVe's text form: without a first line of counts. */
  SRNN_VECTORS_FORMAT_GLOVE = 3,
  /** A fastText model (.bin, quantized .ftz), with vectors of unknown words from their subwords. */
  SRNN_VECTORS_FORMAT_FASTTEXT = 4,
  /** Navec's archive. */
  SRNN_VECTORS_FORMAT_NAVEC = 5,
  /** The library's own form: a safetensors file. */
  SRNN_VECTORS_FORMAT_SAFETENSORS = 6,
} srnn_vectors_format;

/** What becomes of a file's words that are not UTF-8. */
typedef enum srnn_invalid_utf8 {
  /** They keep their bytes. */
  SRNN_INVALID_UTF8_KEEP = 0,
  /** What is invalid becomes U+FFFD. */
  SRNN_INVALID_UTF8_REPLACE = 1,
  /** They are errors. */
  SRNN_INVALID_UTF8_REFUSE = 2,
} srnn_invalid_utf8;

/** The vector of a vocabulary's word that has none in the file. */
typedef enum srnn_unknown_vector {
  /** Zeros. */
  SRNN_UNKNOWN_VECTOR_ZERO = 0,
  /** The mean of the vectors found for the vocabulary. */
  SRNN_UNKNOWN_VECTOR_MEAN = 1,
  /** Normal values as large as those found, from the seed. */
  SRNN_UNKNOWN_VECTOR_RANDOM = 2,
} srnn_unknown_vector;

/** Words and their vectors. Any number of threads may use them at once. */
typedef struct srnn_vectors srnn_vectors;

/** How a file is read, and an embedding made of it. Fill it in with srnn_vectors_options_init, then change fields. */
typedef struct srnn_vectors_options {
  /** Bytes of this struct as the caller knows it; set by the init function. */
  uint32_t struct_size;
  /** An srnn_vectors_format. Default SRNN_VECTORS_FORMAT_ANY. */
  int32_t format;
  /** An srnn_invalid_utf8. Default SRNN_INVALID_UTF8_KEEP. */
  int32_t invalid_utf8;
  /**
   * 1 if a word that comes again is an error (for embeddings, one of those kept); 0 if its first vector counts. Default 0.
   */
  int32_t refuse_duplicates;
  /** 1 if a fastText model that is read as a whole keeps its n-grams. Default 1. */
  int32_t subwords;
  /** For embeddings: 1 if a word may be matched by one that equals it but for case. Default 0. */
  int32_t fold_case;
  /** For embeddings: an srnn_unknown_vector. Default SRNN_UNKNOWN_VECTOR_RANDOM. */
  int32_t unknown;
  /** For embeddings: 1 if the table is frozen. Default 0. */
  int32_t frozen;
  /** Values that vectors must have; 0 for any. Default 0. */
  uint64_t dim;
  /** Only so many first words of the file; 0 for all. Default 0. */
  uint64_t limit;
  /** The most bytes that packed data (gzip, xz, zip), and product-quantized data, may unpack to. Default 2^34. */
  uint64_t max_decompressed;
  /** For embeddings: decides random vectors. Default 0. */
  uint64_t seed;
  /**
   * The name of the member of a zip archive that holds the vectors. Default NULL: there is only one, not counting
   * directories and what macOS adds.
   */
  const char *member;
  /** Zero. */
  size_t reserved1;
  /**
   * 1 if rows that cannot be used are left out and counted (srnn_vectors_skipped_row_count): lines without a word, with too few or
   * too many numbers or with something else than finite numbers; empty words; with invalid_utf8 = refuse those that are
   * not UTF-8. For embeddings only the numbers of words that are kept are looked at. 0 if they are errors. Default 0.
   */
  int32_t skip_bad_rows;
  /** Zero. */
  uint32_t reserved0;
  /** Zero. */
  uint64_t reserved[4];
} srnn_vectors_options;

/** Fills in `options` with defaults. NULL is ignored. */
SRNN_API void srnn_vectors_options_init(srnn_vectors_options *options);

/**
 * Reads a file's word vectors. The caller destroys them.
 *
 * - options: NULL for the defaults
 *
 * Errors: SRNN_ERROR_IO; SRNN_ERROR_INVALID_DATA, with the byte or line, for a damaged file; SRNN_ERROR_UNSUPPORTED for
 * contents that are not read, and for other files that are known; SRNN_ERROR_SHAPE_MISMATCH for vectors of other than
 * options.dim values; SRNN_ERROR_INVALID_ARGUMENT for options, and for a zip archive of several members where options.member
 * names none; SRNN_ERROR_NOT_FOUND where it has none of that name; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_open(const char *path, const srnn_vectors_options *options,
    srnn_vectors **vectors, srnn_error *error);

/** Destroys word vectors. NULL is allowed. */
SRNN_API void srnn_vectors_destroy(srnn_vectors *vectors);

/** Number of words; 0 for NULL. */
SRNN_API size_t srnn_vectors_word_count(const srnn_vectors *vectors);

/** Values of a vector; 0 for NULL. */
SRNN_API size_t srnn_vectors_dim(const srnn_vectors *vectors);

/** The srnn_vectors_format of the file they come from; 0 for NULL. */
SRNN_API int32_t srnn_vectors_file_format(const srnn_vectors *vectors);

/** Words of the file that came again and were left out; 0 for NULL. */
SRNN_API uint64_t srnn_vectors_duplicate_count(const srnn_vectors *vectors);

/**
 * Rows of the file that were left out since they cannot be used; see srnn_vectors_options.skip_bad_rows. 0 for NULL.
 */
SRNN_API uint64_t srnn_vectors_skipped_row_count(const srnn_vectors *vectors);

/**
 * Copies word number `index`, in the file's order, and a closing NUL to `text`, which has room for `text_size` bytes, and
 * its length without the NUL to `text_len`. With NULL and 0 it only measures.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a number without a word; SRNN_ERROR_SHAPE_MISMATCH for too little room.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_word(const srnn_vectors *vectors, size_t index, char *text,
    size_t text_size, size_t *text_len, srnn_error *error);

/**
 * Writes the number of `word` to `index`.
 *
 * Errors: SRNN_ERROR_NOT_FOUND.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_find(const srnn_vectors *vectors, const char *word, size_t *index,
    srnn_error *error);

/**
 * Copies the vector of `word` to `values`: from the table, else from its subwords.
 *
 * Errors: SRNN_ERROR_NOT_FOUND; SRNN_ERROR_SHAPE_MISMATCH for the length.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_get(const srnn_vectors *vectors, const char *word, float *values,
    size_t values_len, srnn_error *error);

/**
 * Writes word vectors to the file at `path`, without a fastText model's n-grams.
 *
 * - format: SRNN_VECTORS_FORMAT_WORD2VEC_BINARY, _WORD2VEC_TEXT or _SAFETENSORS
 *
 * Errors: SRNN_ERROR_IO, with an existing file as it was; SRNN_ERROR_INVALID_DATA for a word that the format cannot hold;
 * SRNN_ERROR_INVALID_ARGUMENT for another format.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_save(const srnn_vectors *vectors, const char *path, int32_t format,
    srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Neighbours of words
 *
 * Cosines between word vectors: similar words, the words nearest to a vector or to many, analogies.
 */

/**
 * Writes the cosine between the vectors of words number `a` and `b` to `similarity`; 0 where one of them is zero.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for a number without a word.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_similarity(const srnn_vectors *vectors, size_t a, size_t b,
    float *similarity, srnn_error *error);

/**
 * Spreads the searches for neighbours over the threads of `pool` from now on; NULL for the caller's thread alone. The pool may
 * be destroyed before the vectors. The number of threads changes no bit.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_set_pool(srnn_vectors *vectors, const srnn_pool *pool,
    srnn_error *error);

/**
 * Finds the words whose vectors have the greatest cosines with `query`, as many as `indices` has places, without those
 * whose numbers are in `without`. Writes their numbers and cosines, the greatest first, equal ones in the file's order,
 * and to `count` how many there are.
 *
 * - query: (dim)
 * - indices, similarities: of one length
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a query that is not finite;
 * SRNN_ERROR_INVALID_STATE if there are no words; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_nearest(const srnn_vectors *vectors, const float *query,
    size_t query_len, const size_t *without, size_t without_len, size_t *indices, size_t indices_len,
    float *similarities, size_t similarities_len, size_t *count, srnn_error *error);

/**
 * srnn_vectors_nearest for `counts_len` queries, in fewer passes over the table: the same bits in less time. Each query
 * gets an equal part of `indices` and `similarities`, and a place of `counts`.
 *
 * - queries: (counts_len, dim)
 * - without: a word's number for each query, which that query leaves out, SIZE_MAX for none; or NULL and 0
 * - indices, similarities: (counts_len, neighbours of each)
 *
 * Errors: as srnn_vectors_nearest; SRNN_ERROR_SHAPE_MISMATCH also for an indices_len that is no multiple of counts_len.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_nearest_batch(const srnn_vectors *vectors, const float *queries,
    size_t queries_len, const size_t *without, size_t without_len, size_t *indices, size_t indices_len,
    float *similarities, size_t similarities_len, size_t *counts, size_t counts_len, srnn_error *error);

/**
 * Finds the words nearest to a sum of unit vectors: those of the words numbered in `plus` added, those in `minus` taken
 * away; none of these words themselves. With king and woman in `plus` and man in `minus` it asks what is to woman as king
 * is to man. Writes as srnn_vectors_nearest.
 *
 * Errors: SRNN_ERROR_SHAPE_MISMATCH for a length; SRNN_ERROR_INVALID_ARGUMENT for a number without a word, or no number at
 * all; SRNN_ERROR_OUT_OF_MEMORY.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_vectors_analogy(const srnn_vectors *vectors, const size_t *plus,
    size_t plus_len, const size_t *minus, size_t minus_len, size_t *indices, size_t indices_len, float *similarities,
    size_t similarities_len, size_t *count, srnn_error *error);

/* ----------------------------------------------------------------------------------------------------
 * Embeddings from word vectors
 *
 * An embedding for a vocabulary, or a classifier's, from a file of word vectors, and what was found of the vocabulary.
 */

/** Where a word's vector comes from, in the order of trying. */
typedef enum srnn_match {
  /** The same word. */
  SRNN_MATCH_EXACT = 0,
  /** Its lower case. */
  SRNN_MATCH_LOWER = 1,
  /** A word that equals it but for case; only with fold_case. */
  SRNN_MATCH_FOLDED = 2,
  /** Its subwords. */
  SRNN_MATCH_SUBWORDS = 3,
  /** Nothing was found. */
  SRNN_MATCH_MISSING = 4,
  /** It is the padding. */
  SRNN_MATCH_PADDING = 5,
} srnn_match;

/** What was found of a vocabulary. */
typedef struct srnn_coverage srnn_coverage;

/**
 * Makes an embedding of the vectors that the words of `vocab` have in a file, row by row; only those are kept while
 * reading. For each word: itself, else its lower case, else (options.fold_case) a word that equals it but for case, else
 * its subwords, else options.unknown. Row 0 is the padding and zero. The caller destroys the embedding and the coverage.
 *
 * - counts: how often each word occurs, srnn_vocab_word_count of them, for the coverage; or NULL and 0
 * - options: NULL for the defaults
 * - coverage: what was found; may be NULL
 *
 * Errors: as srnn_vectors_open; SRNN_ERROR_SHAPE_MISMATCH for the number of counts.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_embedding_open_vectors(const char *path, const srnn_vocab *vocab,
    const uint64_t *counts, size_t counts_len, const srnn_vectors_options *options, srnn_embedding **embedding,
    srnn_coverage **coverage, srnn_error *error);

/**
 * Replaces a classifier's token table with the vectors that its words have in a file, as srnn_embedding_open_vectors, and
 * freezes it or sets it free as options.frozen says.
 *
 * - dataset: where words are counted for the coverage; may be NULL
 * - options: NULL for the defaults
 * - coverage: what was found; may be NULL. The caller destroys it.
 *
 * Errors: as srnn_vectors_open; SRNN_ERROR_SHAPE_MISMATCH for vectors of other than the classifier's embedding_dim values,
 * and for an options.dim that is neither that nor 0; SRNN_ERROR_INVALID_ARGUMENT for a dataset with word numbers beyond the
 * classifier's vocabulary.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_load_vectors(srnn_classifier *classifier, const char *path,
    const srnn_dataset *dataset, const srnn_vectors_options *options, srnn_coverage **coverage, srnn_error *error);

/**
 * Freezes a classifier's token table (1), so that training leaves it as it is, or sets it free (0): for all of a training
 * or for its first epochs.
 *
 * Errors: SRNN_ERROR_INVALID_ARGUMENT for another number.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_classifier_set_embeddings_frozen(srnn_classifier *classifier, int32_t frozen,
    srnn_error *error);

/** Destroys a coverage. NULL is allowed. */
SRNN_API void srnn_coverage_destroy(srnn_coverage *coverage);

/** Words of the vocabulary with that srnn_match; 0 for NULL or another number. */
SRNN_API size_t srnn_coverage_word_count(const srnn_coverage *coverage, int32_t kind);

/** Occurrences of words with that srnn_match; 0 for NULL or another number, and where nothing was counted. */
SRNN_API uint64_t srnn_coverage_token_count(const srnn_coverage *coverage, int32_t kind);

/**
 * Rows of the file that were left out since they cannot be used; see srnn_vectors_options.skip_bad_rows. 0 for NULL.
 */
SRNN_API uint64_t srnn_coverage_skipped_row_count(const srnn_coverage *coverage);

/**
 * Copies the numbers, in the vocabulary, of words without a vector to `ids`: as many as it has places, the most frequent
 * first; and to `count` how many there are in all.
 */
SRNN_MUST_USE SRNN_API srnn_status srnn_coverage_missing(const srnn_coverage *coverage, uint32_t *ids, size_t ids_len,
    size_t *count, srnn_error *error);

#ifdef __cplusplus
}
#endif

#endif /* SIMDRNN_H */

// A participant: a process that answers requests of run.py, one line each, with one line of JSON.
//
//   prepare KIND MODE STEPS BATCH INPUT HIDDEN LAYERS DIRECTIONS FOLDER
//       reads inputs and weights from FOLDER, runs once, writes its results there as NAME.RESULT.f32
//   burst MILLISECONDS
//       calls again and again for that long; answers with seconds per call, one number a sample
//   memory
//       calls twice; answers with the peak of the resident memory meanwhile, less what was resident before "prepare"
//   fork
//       a child answers what follows, until "end": a process of its own for a case, without the library's start

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <malloc.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace worker {

using Values = std::vector<float>;

// Why a participant takes no part in a case.
struct Skip : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Problem {
  std::string participant, kind, mode, folder;
  size_t steps = 0, batch = 0, input = 0, hidden = 0, layers = 0, directions = 0;

  bool train() const { return mode.rfind("train", 0) == 0; }
  size_t gates() const { return kind == "lstm" ? 4 : kind == "gru" ? 3 : 1; }
  size_t layer_input(size_t layer) const { return layer == 0 ? input : directions * hidden; }
  size_t states() const { return layers * directions * batch * hidden; }

  template <class T>
  std::vector<T> read(const std::string &name) const {
    std::ifstream file(folder + "/" + name, std::ios::binary | std::ios::ate);
    if (!file) return {};
    std::vector<T> values(size_t(file.tellg()) / sizeof(T));
    file.seekg(0);
    file.read(reinterpret_cast<char *>(values.data()), std::streamsize(values.size() * sizeof(T)));
    return values;
  }

  void write(const std::string &result, const float *values, size_t count) const {
    std::ofstream file(folder + "/" + participant + "." + result + ".f32", std::ios::binary);
    file.write(reinterpret_cast<const char *>(values), std::streamsize(count * sizeof(float)));
  }
  void write(const std::string &result, const Values &values) const { write(result, values.data(), values.size()); }
};

// Makes the call of the problem that many times.
using Calls = std::function<void(size_t)>;
using Prepare = std::function<Calls(const Problem &)>;

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Prepared calls and how many of them make a sample of about a millisecond.
struct Prepared {
  Calls calls;
  size_t inner = 1;

  explicit Prepared(Calls prepared) : calls(std::move(prepared)) {
    for (double took = time(1); took < 1e-3; took = time(inner)) inner *= took < 1e-4 ? 8 : 2;
  }
  double time(size_t count) const {
    double start = now();
    calls(count);
    return now() - start;
  }
  std::vector<double> burst(double seconds) const {
    double first = time(inner), end = now() + seconds;  // the first one warms the caches
    std::vector<double> times;
    if (first >= seconds) times.push_back(first / double(inner));
    while (now() < end && (times.empty() || first < seconds)) times.push_back(time(inner) / double(inner));
    return times;
  }
};

// Bytes of this process in memory: a field of the kernel's status file, VmRSS now or VmHWM at the peak.
inline size_t resident(const std::string &field) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name; status.ignore(1000, '\n')) {
    size_t kibibytes = 0;
    if (name == field + ":" && status >> kibibytes) return kibibytes * 1024;
  }
  throw std::runtime_error("no " + field);
}

inline size_t peak(const Calls &calls) {
  malloc_trim(0);                             // what the preparation left behind
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts here
  calls(2);
  return resident("VmHWM");
}

inline std::string quoted(const std::string &text) {
  std::string out = "\"";
  for (char c : text) out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c < ' ' ? ' ' : c);
  return out + "\"";
}

inline int serve(const std::string &participant, const std::string &version, const Prepare &prepare) {
  std::cout << "{\"version\": " << quoted(version) << "}" << std::endl;
  std::vector<Prepared> prepared;
  size_t before = 0;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    try {
      if (command == "prepare") {
        prepared.clear();
        Problem p;
        p.participant = participant;
        words >> p.kind >> p.mode >> p.steps >> p.batch >> p.input >> p.hidden >> p.layers >> p.directions >> std::ws;
        std::getline(words, p.folder);
        malloc_trim(0);
        before = resident("VmRSS");
        prepared.emplace_back(prepare(p));
        std::cout << "{\"ok\": true}" << std::endl;
      } else if (command == "burst" && !prepared.empty()) {
        double milliseconds = 0;
        words >> milliseconds;
        std::ostringstream out;
        for (double time : prepared[0].burst(milliseconds * 1e-3)) out << (out.tellp() ? ", " : "") << time;
        std::cout << "{\"times\": [" << out.str() << "]}" << std::endl;
      } else if (command == "memory" && !prepared.empty()) {
        size_t most = peak(prepared[0].calls);
        std::cout << "{\"grown\": " << most - std::min(before, most) << "}" << std::endl;
      } else if (command == "fork") {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
          std::cout << "{\"ok\": true}" << std::endl;
        } else if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
          throw std::runtime_error("the child failed with status " + std::to_string(status));
        }
      } else if (command == "end") {
        std::cout << "{\"ok\": true}" << std::endl;
        _exit(0);
      } else {
        throw std::runtime_error("unexpected request: " + line);
      }
    } catch (const Skip &skip) {
      std::cout << "{\"skip\": " << quoted(skip.what()) << "}" << std::endl;
    } catch (const std::exception &error) {
      std::cout << "{\"error\": " << quoted(error.what()) << "}" << std::endl;
    }
  }
  return 0;
}

}  // namespace worker

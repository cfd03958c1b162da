// SPDX-License-Identifier: MIT OR Apache-2.0
//
// C++17 on top of simdrnn.h: handles as move-only classes, arrays as views, and a result that must be looked at, or thrown.
// Header only; nothing here needs RTTI. Methods are named like the C functions, whose comments say what they do.

#ifndef SIMDRNN_HPP
#define SIMDRNN_HPP

#include "simdrnn/core.hpp"
#include "simdrnn/files.hpp"
#include "simdrnn/functions.hpp"
#include "simdrnn/layers.hpp"
#include "simdrnn/recurrent.hpp"
#include "simdrnn/text.hpp"
#include "simdrnn/training.hpp"
#include "simdrnn/vectors.hpp"

#endif  // SIMDRNN_HPP

// 3x3 convolutions (stride 1, SAME) of float32 images [batch, height, width, channels] on CPUs, by
// Winograd's F(4x4, 3x3), as custom calls of XLA. Lavin & Gray 2016, arXiv:1509.09308.
//
// A tile is 4x4 outputs, read from 6x6 inputs: in 36 points they are 36 products of channels where
// the direct form has 144. Points are computed band by band, so that they stay in the cache.
//
// The bits of a result depend on shapes and the compiled code, not on threads: forward, each
// value is one sum over channels; backward, a part sums bands of at most 56 tiles, then the bands,
// and then the parts are summed: such sums of sums keep the error small.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#if !defined(__AVX2__) || !defined(__FMA__)
#error this processor has no AVX2
#endif

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using Size = std::ptrdiff_t;
using Array = ffi::Buffer<ffi::F32, 4>;
using Room = ffi::Buffer<ffi::F32>;

namespace {

#ifndef KVGG_LANES  // floats in a vector
#ifdef __AVX512F__
#define KVGG_LANES 16
#else
#define KVGG_LANES 8
#endif
#endif
constexpr Size kLanes = KVGG_LANES;
constexpr Size kRows = kLanes == 16 ? 14 : 6;  // kRows x 2 sums, 2 vectors and a factor fill
constexpr Size kColumns = 2 * kLanes;          // the registers
constexpr Size kPoints = 36;
constexpr Size kForwardTiles = kLanes == 16 ? 28 : 30;  // in a band, at most
constexpr Size kBackwardTiles = 56;
constexpr Size kBlock = 128;  // channels of a block of weight gradients, at most
constexpr Size kParts = 16;   // blocks x parts of the tiles, about

using Vec = float __attribute__((vector_size(4 * kLanes)));
// No `using`: clang would not see the alignment.
typedef float Unaligned __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));

inline Vec load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void store(float* to, Vec value) { *reinterpret_cast<Unaligned*>(to) = value; }

// --- Threads

// task(0) ... task(count - 1), on this thread and those of the pool that are free. It waits for
// tasks that run, never for queued helpers: two calls at once could wait for each other. A helper
// that starts after the return finds no task left, and touches only `shared`. No exception leaves:
// helpers could still be using `task`.
template <class Pool, class Task>
void for_each(Pool& pool, Size count, const Task& task) noexcept {
  struct Shared {
    std::atomic<Size> next{0}, done{0};
  };
  auto shared = std::make_shared<Shared>();
  auto work = [shared, count, &task] {
    for (Size i; (i = shared->next.fetch_add(1)) < count;) {
      task(i);
      shared->done.fetch_add(1);
    }
  };
  const Size helpers = std::min<Size>(pool.num_threads(), count) - 1;
  for (Size i = 0; i < helpers; ++i) pool.Schedule(decltype(work)(work));
  work();
  while (shared->done.load() < count) std::this_thread::yield();
}

// Memory of this thread, kept from call to call: at least `count` floats.
float* scratch(Size count) {
  thread_local std::vector<float> memory;
  if (Size(memory.size()) < count) memory = std::vector<float>(count);
  return memory.data();
}

// As many zeros as the longest pixel has channels, for what lies beyond the edge.
const float* zeros(Size count) {
  thread_local std::vector<float> memory;
  if (Size(memory.size()) < count) memory.assign(count, 0.0f);
  return memory.data();
}

// --- The transforms of the paper, of a line of 6, 4 or 3 vectors

struct Inputs {  // B'
  static constexpr Size kIn = 6, kOut = 6;
  static void line(const Vec* d, Vec* out) {
    const Vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];
    const Vec near = d[4] - d[2], far = 2 * (d[3] - d[1]);
    out[0] = 4 * d[0] - 5 * d[2] + d[4];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = near + far;
    out[4] = near - far;
    out[5] = 4 * d[1] - 5 * d[3] + d[5];
  }
};

struct Kernels {  // G
  static constexpr Size kIn = 3, kOut = 6;
  static void line(const Vec* w, Vec* out) {
    const Vec ends = (w[0] + w[2]) * (1.0f / 6), middle = w[1] * (1.0f / 6);
    const Vec far = w[0] * (1.0f / 24) + w[2] * (1.0f / 6), half = w[1] * (1.0f / 12);
    out[0] = w[0] * 0.25f;
    out[1] = -ends - middle;
    out[2] = middle - ends;
    out[3] = far + half;
    out[4] = far - half;
    out[5] = w[2];
  }
};

struct Outputs {  // A'
  static constexpr Size kIn = 6, kOut = 4;
  static void line(const Vec* m, Vec* out) {
    const Vec sum = m[1] + m[2], difference = m[1] - m[2];
    const Vec far_sum = m[3] + m[4], far_difference = m[3] - m[4];
    out[0] = m[0] + sum + far_sum;
    out[1] = difference + 2 * far_difference;
    out[2] = sum + 4 * far_sum;
    out[3] = difference + 8 * far_difference + m[5];
  }
};

struct OutputGradients {  // A
  static constexpr Size kIn = 4, kOut = 6;
  static void line(const Vec* g, Vec* out) {
    const Vec even = g[0] + g[2], odd = g[1] + g[3];
    const Vec far_even = g[0] + 4 * g[2], far_odd = 2 * g[1] + 8 * g[3];
    out[0] = g[0];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = far_even + far_odd;
    out[4] = far_even - far_odd;
    out[5] = g[3];
  }
};

struct KernelGradients {  // G'
  static constexpr Size kIn = 6, kOut = 3;
  static void line(const Vec* s, Vec* out) {
    const Vec sum = (s[1] + s[2]) * (1.0f / 6), far_sum = s[3] + s[4];
    out[0] = s[0] * 0.25f - sum + far_sum * (1.0f / 24);
    out[1] = (s[2] - s[1]) * (1.0f / 6) + (s[3] - s[4]) * (1.0f / 12);
    out[2] = s[5] - sum + far_sum * (1.0f / 6);
  }
};

// kIn x kIn vectors, as `read` gives them -> kOut x kOut that `write` takes: first along the columns
// and then along the rows.
template <class Transform, class Read, class Write>
inline void transform(const Read& read, const Write& write) {
  constexpr Size kIn = Transform::kIn, kOut = Transform::kOut;
  Vec half[kOut][kIn];
#pragma GCC unroll 6
  for (Size j = 0; j < kIn; ++j) {
    Vec column[kIn], result[kOut];
#pragma GCC unroll 6
    for (Size i = 0; i < kIn; ++i) column[i] = read(i * kIn + j);
    Transform::line(column, result);
#pragma GCC unroll 6
    for (Size i = 0; i < kOut; ++i) half[i][j] = result[i];
  }
#pragma GCC unroll 6
  for (Size i = 0; i < kOut; ++i) {
    Vec result[kOut];
    Transform::line(half[i], result);
#pragma GCC unroll 6
    for (Size j = 0; j < kOut; ++j) write(i * kOut + j, result[j]);
  }
}

// --- Products

// c[i, :] (+)= sum over k of a[i * a_row + k * a_step] * b[k * b_step, :], for kHeight rows.
template <Size kHeight>
void product(const float* a, Size a_row, Size a_step, const float* b, Size b_step, Size depth,
             float* c, Size c_row, bool add) {
  Vec sum[kHeight][2] = {};
  for (Size k = 0; k < depth; ++k, a += a_step, b += b_step) {
    const Vec left = load(b), right = load(b + kLanes);
#pragma GCC unroll 14
    for (Size i = 0; i < kHeight; ++i) {
      sum[i][0] += a[i * a_row] * left;
      sum[i][1] += a[i * a_row] * right;
    }
  }
#pragma GCC unroll 14
  for (Size i = 0; i < kHeight; ++i, c += c_row) {
    store(c, add ? load(c) + sum[i][0] : sum[i][0]);
    store(c + kLanes, add ? load(c + kLanes) + sum[i][1] : sum[i][1]);
  }
}

using Product = decltype(&product<1>);
template <Size... kLess>
constexpr std::array<Product, kRows> products_of(std::integer_sequence<Size, kLess...>) {
  return {product<kLess + 1>...};
}
constexpr auto kProducts = products_of(std::make_integer_sequence<Size, kRows>());

// The same for any number of rows, kColumns wide: in pieces of nearly equal height.
void multiply(Size rows, const float* a, Size a_row, Size a_step, const float* b, Size b_step,
              Size depth, float* c, Size c_row, bool add) {
  const Size pieces = (rows + kRows - 1) / kRows;
  for (Size piece = 0, row = 0; piece < pieces; ++piece) {
    const Size height = rows / pieces + (piece < rows % pieces);
    kProducts[height - 1](a + row * a_row, a_row, a_step, b, b_step, depth, c + row * c_row, c_row,
                          add);
    row += height;
  }
}

// --- Images and their tiles

struct Images {
  const float* data;
  Size count, height, width, channels;

  Size rows() const { return (height + 3) / 4; }
  Size columns() const { return (width + 3) / 4; }
  Size tiles() const { return count * rows() * columns(); }
};

struct Place {  // of a tile's first output
  Size image, row, column;

  Place(const Images& of, Size tile)
      : image(tile / (of.rows() * of.columns())),
        row(tile / of.columns() % of.rows() * 4),
        column(tile % of.columns() * 4) {}
};

// The points of `count` tiles from `first` on, of the channels [channel, channel + channels):
// out[point, tile, channel], where a point has `count` rows of `stride`. `halo` pixels are read
// around a tile, zeros beyond the edge.
template <class Transform>
void to_points(const Images& x, Size first, Size count, Size halo, Size channel, Size channels,
               float* out, Size stride) {
  constexpr Size kSide = Transform::kIn;
  const float* nothing = zeros(x.channels);
  for (Size tile = 0; tile < count; ++tile) {
    const Place place(x, first + tile);
    const float* source[kSide * kSide];
    for (Size i = 0; i < kSide * kSide; ++i) {
      const Size row = place.row + i / kSide - halo, column = place.column + i % kSide - halo;
      const bool inside = row >= 0 && row < x.height && column >= 0 && column < x.width;
      const Size pixel = (place.image * x.height + row) * x.width + column;
      source[i] = inside ? x.data + pixel * x.channels + channel : nothing;
    }
    float* to = out + tile * stride;
    for (Size c = 0; c < channels; c += kLanes)
      transform<Transform>([&](Size i) { return load(source[i] + c); },
                           [&](Size k, Vec point) { store(to + k * count * stride + c, point); });
  }
}

// --- Forward, and the gradient of the input

struct Weights {  // [3, 3, channels in, channels out]; turned and with its channels exchanged, or not
  const float* data;
  Size in, out;
  bool turned;

  // One tap from channel `i` to the kLanes channels from `o` on.
  Vec read(Size tap, Size i, Size o) const {
    if (!turned) return load(data + (tap * in + i) * out + o);
    Vec lanes;
    for (Size lane = 0; lane < kLanes; ++lane)
      lanes[lane] = data[((8 - tap) * out + o + lane) * in + i];
    return lanes;
  }
};

// Points of a kernel: [block of kColumns channels out][point][channels in + 1][kColumns]. The
// row that is not used keeps the points from falling on the same lines of the cache.
void kernel_points(const Weights& w, Size block, float* points) {
  const Size point = (w.in + 1) * kColumns;
  for (Size i = 0; i < w.in; ++i)
    for (Size half = 0; half < kColumns; half += kLanes) {
      float* to = points + block * kPoints * point + i * kColumns + half;
      transform<Kernels>([&](Size tap) { return w.read(tap, i, block * kColumns + half); },
                         [&](Size k, Vec value) { store(to + k * point, value); });
    }
}

// The outputs of `count` tiles from `first` on.
void convolve_band(const Images& x, const float* kernel, Size first, Size count, float* y,
                   Size out) {
  const Size stride = x.channels + kLanes, point = (x.channels + 1) * kColumns;
  float* inputs = scratch(kPoints * count * (stride + kColumns));
  float* outputs = inputs + kPoints * count * stride;
  to_points<Inputs>(x, first, count, 1, 0, x.channels, inputs, stride);
  for (Size channel = 0; channel < out; channel += kColumns) {
    for (Size k = 0; k < kPoints; ++k, kernel += point)
      multiply(count, inputs + k * count * stride, stride, 1, kernel, kColumns, x.channels,
               outputs + k * count * kColumns, kColumns, false);
    for (Size tile = 0; tile < count; ++tile) {
      const Place place(x, first + tile);
      const Size rows = std::min<Size>(4, x.height - place.row);
      const Size columns = std::min<Size>(4, x.width - place.column);
      const Size pixel = (place.image * x.height + place.row) * x.width + place.column;
      for (Size half = 0; half < kColumns; half += kLanes) {
        const float* from = outputs + tile * kColumns + half;
        float* to = y + pixel * out + channel + half;
        transform<Outputs>([&](Size k) { return load(from + k * count * kColumns); },
                           [&](Size i, Vec value) {
                             if (i / 4 < rows && i % 4 < columns)
                               store(to + (i / 4 * x.width + i % 4) * out, value);
                           });
      }
    }
  }
}

// `kernel` has room for its points: 36 x (channels in + 1) x channels out.
template <class Pool>
void convolve(Pool& pool, const Images& x, const Weights& w, float* y, float* kernel) {
  for_each(pool, w.out / kColumns, [&](Size block) { kernel_points(w, block, kernel); });
  const Size threads = std::max<Size>(1, pool.num_threads());  // 0: XLA gives no pool
  const Size rounds = (x.tiles() + kForwardTiles * threads - 1) / (kForwardTiles * threads);
  const Size bands = rounds * threads;  // as many for each thread
  for_each(pool, bands, [&](Size band) {
    const Size first = band * x.tiles() / bands, end = (band + 1) * x.tiles() / bands;
    if (first < end) convolve_band(x, kernel, first, end - first, y, w.out);
  });
}

// --- The gradient of the weights

// Of the channels [i, i + in) and [o, o + out), from the tiles [first, end): into dw at [3, 3, i, o].
void block_gradient(const Images& x, const Images& g, Size first, Size end, Size i, Size in, Size o,
                    Size out, float* dw) {
  const Size x_stride = in + kLanes, g_stride = out + kLanes;
  float* sums = scratch(kPoints * (in * out + kBackwardTiles * (x_stride + g_stride)));
  float* inputs = sums + kPoints * in * out;
  float* gradients = inputs + kPoints * kBackwardTiles * x_stride;
  const Size bands = (end - first + kBackwardTiles - 1) / kBackwardTiles;
  for (Size band = 0, tile = first, count; band < bands; ++band, tile += count) {
    count = (end - first) / bands + (band < (end - first) % bands);
    to_points<Inputs>(x, tile, count, 1, i, in, inputs, x_stride);
    to_points<OutputGradients>(g, tile, count, 0, o, out, gradients, g_stride);
    for (Size k = 0; k < kPoints; ++k)
      for (Size column = 0; column < out; column += kColumns)
        multiply(in, inputs + k * count * x_stride, 1, x_stride,
                 gradients + k * count * g_stride + column, g_stride, count,
                 sums + k * in * out + column, out, band > 0);
  }
  for (Size row = 0; row < in; ++row)
    for (Size column = 0; column < out; column += kLanes) {
      const float* from = sums + row * out + column;
      float* to = dw + (i + row) * g.channels + o + column;
      transform<KernelGradients>(
          [&](Size k) { return load(from + k * in * out); },
          [&](Size tap, Vec value) { store(to + tap * x.channels * g.channels, value); });
    }
}

Size parts_of(Size in, Size out, Size tiles) {
  const Size blocks = ((in + kBlock - 1) / kBlock) * ((out + kBlock - 1) / kBlock);
  return std::max<Size>(1, std::min(kParts / blocks, tiles / kBackwardTiles));
}

// `partial` is [parts, 3, 3, channels in, channels out], where there are several.
template <class Pool>
void weight_gradient(Pool& pool, const Images& x, const Images& g, float* dw, float* partial) {
  const Size parts = parts_of(x.channels, g.channels, x.tiles());
  const Size rows = (x.channels + kBlock - 1) / kBlock;
  const Size columns = (g.channels + kBlock - 1) / kBlock;
  const Size tap = x.channels * g.channels;
  float* sums = parts == 1 ? dw : partial;
  for_each(pool, parts * rows * columns, [&](Size task) {
    const Size part = task / (rows * columns), block = task % (rows * columns);
    const Size i = block / columns * kBlock, o = block % columns * kBlock;
    block_gradient(x, g, part * x.tiles() / parts, (part + 1) * x.tiles() / parts, i,
                   std::min(kBlock, x.channels - i), o, std::min(kBlock, g.channels - o),
                   sums + part * 9 * tap);
  });
  if (parts == 1) return;
  for_each(pool, 9, [&](Size k) {
    for (Size at = k * tap; at < (k + 1) * tap; at += kLanes) {
      Vec sum = load(sums + at);
      for (Size part = 1; part < parts; ++part) sum += load(sums + part * 9 * tap + at);
      store(dw + at, sum);
    }
  });
}

// --- What XLA calls

Images images(const Array& array) {
  const auto sides = array.dimensions();
  return {array.typed_data(), sides[0], sides[1], sides[2], sides[3]};
}

// Whether it has these sides, and channels in a multiple of kColumns.
bool is_of(const Array& array, Size first, Size second, Size third, Size channels) {
  const std::array<Size, 4> sides{first, second, third, channels};
  return channels > 0 && channels % kColumns == 0 &&
         std::equal(sides.begin(), sides.end(), array.dimensions().begin());
}

ffi::Error wrong_shapes() { return ffi::Error::InvalidArgument("shapes that do not fit"); }

ffi::Error call_convolve(ffi::ThreadPool pool, Array x, Array w, bool turned,
                         ffi::Result<Array> y, ffi::Result<Room> kernel) {
  const Images from = images(x), to = images(*y);
  const Weights weights{w.typed_data(), from.channels, to.channels, turned};
  const Size in = turned ? to.channels : from.channels, out = turned ? from.channels : to.channels;
  if (!is_of(x, to.count, to.height, to.width, from.channels) ||
      !is_of(*y, from.count, from.height, from.width, to.channels) || !is_of(w, 3, 3, in, out) ||
      Size(kernel->element_count()) < kPoints * (from.channels + 1) * to.channels)
    return wrong_shapes();
  convolve(pool, from, weights, y->typed_data(), kernel->typed_data());
  return ffi::Error::Success();
}

ffi::Error call_weight_gradient(ffi::ThreadPool pool, Array x, Array g, ffi::Result<Array> dw,
                                ffi::Result<Room> partial) {
  const Images from = images(x), to = images(g);
  if (from.tiles() == 0 || !is_of(x, to.count, to.height, to.width, from.channels) ||
      !is_of(*dw, 3, 3, from.channels, to.channels))
    return wrong_shapes();
  const Size parts = parts_of(from.channels, to.channels, from.tiles());
  if (parts > 1 && partial->element_count() < parts * dw->element_count()) return wrong_shapes();
  weight_gradient(pool, from, to, dw->typed_data(), partial->typed_data());
  return ffi::Error::Success();
}

}  // namespace

// [3, 3, channels in, channels out], or `turned`: the gradient of the input, from that of the output.
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    kvgg_convolve, call_convolve,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Attr<bool>("turned")
        .Ret<Array>().Ret<Room>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    kvgg_weight_gradient, call_weight_gradient,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Array>().Arg<Array>().Ret<Array>().Ret<Room>());

// Channels come in multiples of it.
extern "C" Size kvgg_channels() { return kColumns; }

// How many partial weight gradients `kvgg_weight_gradient` needs room for.
extern "C" Size kvgg_parts(Size in, Size out, Size tiles) { return parts_of(in, out, tiles); }

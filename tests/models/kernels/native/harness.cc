// Several convolutions at once, each on a pool of its own size, for sanitizers: every one must give
// the bits that one thread gives. It is compiled in one piece with what it tests.

#include "conv3x3.cc"

#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <string>

namespace {

// As XLA's: tasks run when a thread is free, after a call has ended too. It may have no threads.
class Pool {
 public:
  explicit Pool(Size count) {
    for (Size i = 0; i < count; ++i) threads_.emplace_back([this] { run(); });
  }
  ~Pool() {
    stopping_ = true;
    for (auto& thread : threads_) thread.join();
  }
  Size num_threads() const { return Size(threads_.size()); }
  void Schedule(std::function<void()> task) {
    std::lock_guard<std::mutex> held(mutex_);
    tasks_.push_back(std::move(task));
  }

 private:
  void run() {
    while (true) {
      std::function<void()> task;
      {
        std::lock_guard<std::mutex> held(mutex_);
        if (!tasks_.empty()) {
          task = std::move(tasks_.front());
          tasks_.pop_front();
        } else if (stopping_) {
          return;
        }
      }
      task ? task() : std::this_thread::yield();
    }
  }

  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

// An exception would leave helpers with a task that is gone.
static_assert(noexcept(for_each(std::declval<Pool&>(), 1, std::declval<void (*)(Size)>())));

std::vector<float> draw(Size count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

// The bytes of the result and both gradients. Each array is of just the size that it needs.
std::string passes(Pool& pool, Size count, Size height, Size width, Size in,
                                       Size out) {
  const auto x = draw(count * height * width * in, 1), w = draw(9 * in * out, 2);
  const auto g = draw(count * height * width * out, 3);
  const Images images{x.data(), count, height, width, in}, results{g.data(), count, height, width, out};
  std::vector<float> y(g.size()), dx(x.size()), dw(w.size());
  std::vector<float> forward(36 * (in + 1) * out), backward(36 * (out + 1) * in);
  std::vector<float> partial(kvgg_parts(in, out, images.tiles()) * w.size());
  convolve(pool, images, Weights{w.data(), in, out, false}, y.data(), forward.data());
  convolve(pool, results, Weights{w.data(), out, in, true}, dx.data(), backward.data());
  weight_gradient(pool, images, results, dw.data(), partial.data());
  std::string bytes;
  for (const auto* found : {&y, &dx, &dw})
    bytes.append(reinterpret_cast<const char*>(found->data()), found->size() * sizeof(float));
  return bytes;
}

}  // namespace

int main() {
  for (auto [count, side, in, out] : {std::array<Size, 4>{3, 13, 64, 32}, {1, 33, 32, 160}}) {
    Pool alone(1);
    const auto expected = passes(alone, count, side, side + 2, in, out);
    for (Size size : {0, 1, 2, 8}) {
      Pool pool(size);
      std::atomic<int> different{0};
      std::vector<std::thread> callers;
      for (int caller = 0; caller < 3; ++caller)
        callers.emplace_back([&, count = count, side = side, in = in, out = out] {
          different += passes(pool, count, side, side + 2, in, out) != expected;
        });
      for (auto& caller : callers) caller.join();
      if (different) return std::printf("%d of 3 differ on %td threads\n", different.load(), size), 1;
    }
  }
  std::puts("the same bits");
}

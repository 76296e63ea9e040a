// One thread for all calls of a session on a GPU.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

namespace echoes {

// Does in its own thread what others ask for, one job after another. ONNX Runtime keeps the handles
// of CUDA's libraries, their memory and recorded graphs for each thread that runs a session: every
// new thread of a server would make all of them again.
class Worker {
 public:
  Worker() : thread_([this] { serve(); }) {}
  ~Worker() {
    put({});
    thread_.join();
  }

  // Waits until `work` is done, and throws what it throws.
  void run(const std::function<void()> &work) {
    Job job(work);
    std::future<void> done = job.get_future();
    put(std::move(job));
    done.get();
  }

 private:
  using Job = std::packaged_task<void()>;

  void put(Job job) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    changed_.notify_one();
  }

  void serve() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return !jobs_.empty(); });
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      if (!job.valid()) return;
      job();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::thread thread_;  // the last: it uses the others
};

}  // namespace echoes

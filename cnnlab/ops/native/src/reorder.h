// Arrays from one of oneDNN's layouts to another.
#pragma once

#include <vector>

#include "dnnl.hpp"
#include "pool.h"

namespace cnnlab {

const dnnl::engine& Engine();

// oneDNN gives this thread one thread while it exists.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// Made in shares, which a pool's threads compute side by side. Throws dnnl::error.
class Reorder {
 public:
  Reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to);

  void Run(const void* from, void* to, const Pool& pool) const;

 private:
  struct Share {
    dnnl::memory::desc from, to;
    dnnl::reorder run;
  };

  std::vector<Share> shares_;
};

}  // namespace cnnlab

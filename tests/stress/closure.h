// What does a message carry? The model's answer: the part of a graph that strong references reach,
// and a copy of it.
#ifndef ATOLL_TESTS_STRESS_CLOSURE_H_
#define ATOLL_TESTS_STRESS_CLOSURE_H_

#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tests/stress/model.h"

namespace Atoll::stress {

/// Registered as unsendable where isolates are tested.
inline constexpr Kind kUnsendable = Kind::kPairTwin;

/// The nodes of one isolate or message, and the finalizers of its objects (whose tokens are the
/// community's).
struct Graph {
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::pair<Node*, Token*>> finalizers;
  uint32_t walk_number = 0;  ///< of the last walk over any of them
};

/// What `root` reaches strongly, and values of ephemerons whose keys it reaches. Frozen nodes are
/// no part of it.
class Closure {
 public:
  explicit Closure(Edge root);

  size_t size() const { return nodes_.size(); }
  bool has_unsendable() const { return has_unsendable_; }
  /// A send of it is refused.
  bool is_refused() const { return has_unsendable_ || has_immovable_ || has_finalizer_; }
  /// It cannot be frozen either.
  bool has_weak() const { return has_weak_; }

  /// Copies it: sharing and cycles stay, weak references to what is not in it are cleared. Sets
  /// `root` to the copy's.
  std::vector<std::unique_ptr<Node>> Copy(Edge* root, bool frozen) const;

 private:
  void Reach(Edge edge);
  void Drain();
  bool Contains(Edge edge) const;

  std::vector<Node*> nodes_;
  std::unordered_set<const Node*> seen_;
  std::vector<Node*> pending_;
  std::vector<Node*> ephemerons_;  // whose keys are not in it
  bool has_unsendable_ = false;
  bool has_immovable_ = false;
  bool has_finalizer_ = false;
  bool has_weak_ = false;
};

}  // namespace Atoll::stress

#endif  // ATOLL_TESTS_STRESS_CLOSURE_H_

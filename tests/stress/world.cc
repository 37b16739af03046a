#include "tests/stress/world.h"

#include <algorithm>

#include "heap/region_state.h"
#include "tests/stress/check.h"

namespace Atoll::stress {

uint64_t NewId() {
  static std::atomic<uint64_t> blocks{0};
  thread_local uint64_t next = 0;
  thread_local uint64_t end = 0;
  if (next == end) {
    next = blocks.fetch_add(1) << 20 | 1;
    end = next + (1 << 20) - 2;
  }
  return next++;
}

RegionHost::RegionHost(const Setting& setting, const std::string& name, size_t limit_bytes) {
  RegionOptions options;
  options.name = name;
  options.limit_bytes = limit_bytes;
  options.client = this;
  Result<std::unique_ptr<Region>> region = setting.heap->CreateRegion(options);
  STRESS_CHECK(region.ok(), "%s", region.status().message().c_str());
  region_ = std::move(region).value();
}

RegionHost::~RegionHost() = default;

void RegionHost::AddWorld(World* world) {
  std::lock_guard<std::mutex> lock(mutex_);
  worlds_.push_back(world);
}

void RegionHost::VisitRoots(RootVisitor& visitor) {
  std::lock_guard<std::mutex> lock(mutex_);
  visitor.VisitSlot(Slot(&shared_root));
  for (World* world : worlds_) {
    for (Root& root : world->roots) {
      switch (root.how) {
        case Root::How::kSlot:
          visitor.VisitSlot(Slot(&root.word));
          break;
        case Root::How::kValue:
          root.word = visitor.VisitValue(Ref{root.word}).word;
          break;
        case Root::How::kDerived:
          visitor.VisitDerived(Slot(&root.word), &root.derived);
          break;
      }
    }
  }
}

size_t RegionHost::NearLimit(size_t needed_bytes, size_t limit_bytes) {
  STRESS_CHECK(needed_bytes > limit_bytes, "NearLimit(%zu, %zu)", needed_bytes, limit_bytes);
  near_limit_calls.fetch_add(1);
  return limit_bytes;
}

World::World(const Setting& setting, std::shared_ptr<RegionHost> host, bool alone_in_region,
             uint32_t root_count)
    : roots(root_count),
      setting_(setting),
      host_(std::move(host)),
      alone_in_region_(alone_in_region) {
  for (uint32_t i = 0; i < root_count; ++i) {
    roots[i].how = i % 8 == 6   ? Root::How::kValue
                   : i % 8 == 7 ? Root::How::kDerived
                                : Root::How::kSlot;
  }
  host_->AddWorld(this);
}

World::~World() { STRESS_CHECK(mutator_ == nullptr, "a world ends while its mutator is attached"); }

void World::Enter(const std::string& name) {
  Result<std::unique_ptr<Mutator>> mutator = region().AttachMutator(name);
  STRESS_CHECK(mutator.ok(), "%s", mutator.status().message().c_str());
  mutator_ = std::move(mutator).value();
  STRESS_CHECK(mutator_->state() == MutatorState::kNative, "a fresh mutator is %s",
               ToString(mutator_->state()));
  mutator_->LeaveNative();
}

void World::Leave(bool keep) {
  while (!frames.empty()) frames.pop_back();
  for (auto& [node, address] : pins) {
    const Status status = mutator_->Unpin(ObjectPtr(address));
    STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  }
  if (keep) {
    for (auto& held : persistents) {
      Root root;
      root.edge = Edge(held.node);
      root.word = held.handle.Get().word;
      roots.push_back(root);
    }
  }
  pins.clear();
  persistents.clear();
  weak_persistents.clear();
  const Status status = mutator_->Detach();
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  mutator_.reset();
  MutatorThread::ClearCurrent();
  // Thread-affine finalizers end with the attachment.
  std::erase_if(finalizers, [](auto& entry) {
    Token& token = *entry.second;
    if (token.kind != FinalizerKind::kThreadAffine) return false;
    STRESS_CHECK(token.fired.load() == 1, "a thread-affine finalizer of object %llu fired %d times",
                 static_cast<unsigned long long>(entry.first->id), token.fired.load());
    STRESS_CHECK(!token.on_wrong_thread.load(), "a thread-affine finalizer ran on another thread");
    return true;
  });
}

Node* World::NewNode(Kind kind, uint32_t length) {
  nodes_.push_back(std::make_unique<Node>(NewId(), kind, length, EdgeCount(kind, length)));
  Node* node = nodes_.back().get();
  if (kind == Kind::kEphemeron) ephemerons_.push_back(node);
  return node;
}

void World::SetRoot(Root& root, const Edge& edge, Word word) {
  root.edge = edge;
  root.word = word;
  root.derived = word + kDerivedOffset;
}

void World::Adopt(World& source) {
  STRESS_CHECK(!source.has_mutator() && source.alone_in_region_, "not to be adopted");
  const Status status = region().Adopt(source.region());
  STRESS_CHECK(status.ok(), "%s", status.message().c_str());
  // No safepoint from here on until the words are roots of this world.
  for (Root& root : source.roots) {
    if (root.edge.node() == nullptr) continue;
    roots.push_back(root);
    root = Root();
  }
  for (auto& node : source.nodes_) nodes_.push_back(std::move(node));
  source.nodes_.clear();
  ephemerons_.insert(ephemerons_.end(), source.ephemerons_.begin(), source.ephemerons_.end());
  source.ephemerons_.clear();
  for (auto& entry : source.finalizers) finalizers.push_back(std::move(entry));
  source.finalizers.clear();
  guarded.insert(source.guarded.begin(), source.guarded.end());
  source.guarded.clear();
  in_queue_perhaps.merge(source.in_queue_perhaps);
  source.in_queue_perhaps.clear();
  external_bytes += source.external_bytes;
  source.external_bytes = 0;
  // The walks of the two worlds are numbered apart.
  walk_number_ = std::max(walk_number_, source.walk_number_);
}

void World::CheckAllFinalizersFired() {
  for (auto& [node, token] : finalizers) {
    STRESS_CHECK(token->fired.load() == 1,
                 "region gone, and a finalizer of object %llu fired %d times",
                 static_cast<unsigned long long>(node->id), token->fired.load());
  }
  finalizers.clear();
}

std::unordered_set<Node*> World::LedToBy(Node* node) const {
  std::unordered_set<Node*> found;
  std::vector<Node*> pending{node};
  while (!pending.empty()) {
    Node* at = pending.back();
    pending.pop_back();
    if (found.insert(at).second) {
      for (uint32_t i = 0; i < at->edge_count; ++i) {
        if (Node* target = at->edges()[i].node()) pending.push_back(target);
      }
    }
    if (!pending.empty()) continue;
    for (Node* other : ephemerons_) {
      Node* value = other->edges()[1].node();
      if (value == nullptr || found.contains(value)) continue;
      if (found.contains(other->edges()[0].node())) pending.push_back(value);
    }
  }
  return found;
}

void World::BringBack(Node* guarded_object) {
  for (Node* node : LedToBy(guarded_object)) node->was_guarded = true;
  // One collection finds many dead, and some lead to others: those wait in the queue, and live.
  NoteBroughtBack(guarded_object);
}

void World::NoteBroughtBack(Node* target) {
  // With an empty queue nothing is reachable from it alone.
  if (!region().state().guarded.empty()) in_queue_perhaps.merge(LedToBy(target));
}

void World::Thin(Random& random) {
  for (Root& root : roots) {
    if (random.OneIn(2)) SetRoot(root, Edge(), 0);
  }
  std::erase_if(persistents, [&](auto&) { return random.OneIn(2); });
  for (auto& frame : frames) {
    for (size_t i = 0; i < frame->edges.size(); ++i) {
      if (!random.OneIn(2)) continue;
      frame->edges[i] = Edge();
      frame->locals[i].Set(Ref{});
    }
  }
  // Roots beyond the usual number came with adopted regions.
  std::erase_if(roots, [&](const Root& root) { return roots.size() > 256 && root.edge.null(); });
}

}  // namespace Atoll::stress

#include "tests/stress/closure.h"

#include <unordered_map>

namespace Atoll::stress {

Closure::Closure(Edge root) {
  Reach(root);
  Drain();
  for (bool progress = true; progress;) {
    progress = false;
    for (size_t i = 0; i < ephemerons_.size();) {
      Node* node = ephemerons_[i];
      if (!Contains(node->edges()[0])) {
        ++i;
        continue;
      }
      ephemerons_[i] = ephemerons_.back();
      ephemerons_.pop_back();
      Reach(node->edges()[1]);
      Drain();
      progress = true;
    }
  }
}

bool Closure::Contains(Edge edge) const {
  const Node* node = edge.node();
  return node == nullptr || node->frozen || seen_.count(node) != 0;
}

void Closure::Reach(Edge edge) {
  Node* node = edge.node();
  if (node == nullptr || node->frozen || !seen_.insert(node).second) return;
  nodes_.push_back(node);
  pending_.push_back(node);
}

void Closure::Drain() {
  while (!pending_.empty()) {
    Node* node = pending_.back();
    pending_.pop_back();
    has_unsendable_ |= node->kind == kUnsendable;
    has_immovable_ |= node->kind == Kind::kStay;
    has_finalizer_ |= node->finalized;
    uint32_t first = 0;
    if (node->kind == Kind::kWeak) {
      has_weak_ = true;
      first = 1;
    } else if (node->kind == Kind::kEphemeron) {
      has_weak_ = true;
      ephemerons_.push_back(node);
      first = 2;
    }
    for (uint32_t i = first; i < node->edge_count; ++i) Reach(node->edges()[i]);
  }
}

std::vector<std::unique_ptr<Node>> Closure::Copy(Edge* root, bool frozen) const {
  std::vector<std::unique_ptr<Node>> copies;
  std::unordered_map<const Node*, Node*> copy_of;
  for (const Node* node : nodes_) {
    copies.push_back(std::make_unique<Node>(node->id, node->kind, node->length, node->edge_count));
    copies.back()->hash = node->hash;
    copies.back()->frozen = frozen;
    copy_of[node] = copies.back().get();
  }
  const auto copied = [&](Edge edge) {
    const Node* node = edge.node();
    if (node == nullptr || node->frozen) return edge;
    const auto found = copy_of.find(node);
    return found == copy_of.end() ? Edge() : Edge(found->second);
  };
  for (Node* node : nodes_) {
    Edge* edges = copy_of[node]->edges();
    for (uint32_t i = 0; i < node->edge_count; ++i) edges[i] = copied(node->edges()[i]);
    if (node->kind == Kind::kEphemeron && !Contains(node->edges()[0])) edges[0] = edges[1] = Edge();
  }
  *root = copied(*root);
  return copies;
}

}  // namespace Atoll::stress

// What does a reference store cost through the write barrier, and what without?

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "benchmarks/micro/micro_heap.h"
#include "benchmarks/workloads/measure.h"

namespace {

using bench::AtollHeap;
using bench::MicroHeap;
using Node = AtollHeap::Node;

constexpr size_t kFew = 256;  // nodes that stay in the cache

struct Plain {
  static void Store(Atoll::Mutator&, Node* node, Node* value) {
    node->left.slot().StoreRaw(Atoll::Ref{reinterpret_cast<Atoll::Word>(value)});
  }
};
struct Barrier {
  static void Store(Atoll::Mutator& mutator, Node* node, Node* value) {
    node->left.Set(mutator, node, value);
  }
};

/// Stores each of `values` into the node of `nodes` at the same place, over and over.
template <typename Kind>
void StoreOver(benchmark::State& state, Atoll::Mutator& mutator, const std::vector<Node*>& nodes,
               const std::vector<Node*>& values) {
  size_t i = 0;
  for (auto _ : state) {
    Kind::Store(mutator, nodes[i], values[i]);
    if (++i == nodes.size()) i = 0;
  }
  state.SetItemsProcessed(state.iterations());
}

template <typename Kind>
void YoungToYoung(benchmark::State& state) {
  MicroHeap micro(kFew);
  micro.Fill();
  const std::vector<Node*> nodes = micro.Nodes();
  StoreOver<Kind>(state, micro.mutator(), nodes, nodes);
}
BENCHMARK_TEMPLATE(YoungToYoung, Plain)->Name("store/young_to_young/plain");
BENCHMARK_TEMPLATE(YoungToYoung, Barrier)->Name("store/young_to_young/barrier");

template <typename Kind>
void OldToOld(benchmark::State& state) {
  MicroHeap micro(kFew);
  micro.FillOld();
  const std::vector<Node*> nodes = micro.Nodes();
  StoreOver<Kind>(state, micro.mutator(), nodes, nodes);
}
BENCHMARK_TEMPLATE(OldToOld, Plain)->Name("store/old_to_old/plain");
BENCHMARK_TEMPLATE(OldToOld, Barrier)->Name("store/old_to_old/barrier");

/// A young value into old nodes that are in the remembered set already.
template <typename Kind>
void OldToYoungRepeated(benchmark::State& state) {
  MicroHeap micro(kFew);
  micro.FillOld();
  Node* young = micro.heap().Make(1);
  const std::vector<Node*> nodes = micro.Nodes();
  for (Node* node : nodes) Barrier::Store(micro.mutator(), node, young);
  StoreOver<Kind>(state, micro.mutator(), nodes, std::vector<Node*>(kFew, young));
}
BENCHMARK_TEMPLATE(OldToYoungRepeated, Plain)->Name("store/old_to_young_repeated/plain");
BENCHMARK_TEMPLATE(OldToYoungRepeated, Barrier)->Name("store/old_to_young_repeated/barrier");

/// The first young value into each old node since the last collection: it is remembered. An
/// iteration is a store into each of 4,096 nodes.
void OldToYoungFirst(benchmark::State& state) {
  constexpr size_t kNodes = 4096;
  MicroHeap micro(kNodes);
  micro.FillOld();
  double seconds = 0;
  for (auto _ : state) {
    const std::vector<Node*> nodes = micro.Nodes();
    Node* young = micro.heap().Make(1);
    const uint64_t began = bench::NowNanos();
    for (Node* node : nodes) Barrier::Store(micro.mutator(), node, young);
    const double taken = bench::Seconds(bench::NowNanos() - began);
    seconds += taken;
    state.SetIterationTime(taken);
    for (Node* node : nodes) Barrier::Store(micro.mutator(), node, nullptr);
    micro.CollectMinor();
  }
  state.counters["ns_per_store"] =
      seconds * 1e9 / static_cast<double>(kNodes) / static_cast<double>(state.iterations());
}
BENCHMARK(OldToYoungFirst)
    ->Name("store/old_to_young_first/barrier")
    ->UseManualTime()
    ->Iterations(200);

/// Young values all over a large old array of references: cards.
template <bool kBarrier>
void LargeArray(benchmark::State& state) {
  constexpr size_t kLength = 1 << 16;
  MicroHeap micro(kLength);
  micro.FillOld();
  Node* young = micro.heap().Make(1);
  AtollHeap::Table* table = micro.table();
  size_t i = 0;
  for (auto _ : state) {
    if constexpr (kBarrier) {
      table->at(i).Set(micro.mutator(), table, young);
    } else {
      table->at(i).slot().StoreRaw(Atoll::Ref{reinterpret_cast<Atoll::Word>(young)});
    }
    i = (i + 4099) % kLength;
  }
  // What was stored without a barrier goes before a collection could miss it.
  for (size_t k = 0; k < kLength; ++k) table->at(k).Set(micro.mutator(), table, nullptr);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_TEMPLATE(LargeArray, false)->Name("store/large_array_old_to_young/plain");
BENCHMARK_TEMPLATE(LargeArray, true)->Name("store/large_array_old_to_young/barrier");

template <typename Kind>
double NanosPerStore(Atoll::Mutator& mutator, const std::vector<Node*>& nodes,
                     const std::vector<Node*>& values) {
  const uint64_t began = bench::NowNanos();
  for (size_t i = 0; i < nodes.size(); ++i) Kind::Store(mutator, nodes[i], values[i]);
  return static_cast<double>(bench::NowNanos() - began) / static_cast<double>(nodes.size());
}

/// Old values into old nodes, at random over 128 MiB: without the barrier and with it by turns, in
/// the same memory. By which pages that is mapped makes more of a difference than the barrier.
void RandomOld(benchmark::State& state) {
  constexpr size_t kNodes = (size_t{128} << 20) / sizeof(Node);
  MicroHeap micro(kNodes);
  micro.FillOld();
  std::vector<Node*> nodes = micro.Nodes();
  const std::vector<Node*> values = nodes;
  std::shuffle(nodes.begin(), nodes.end(), std::mt19937(1));
  std::vector<double> plain;
  std::vector<double> barrier;
  for (auto _ : state) {
    plain.push_back(NanosPerStore<Plain>(micro.mutator(), nodes, values));
    barrier.push_back(NanosPerStore<Barrier>(micro.mutator(), nodes, values));
    state.SetIterationTime((plain.back() + barrier.back()) * 1e-9 * kNodes);
  }
  const double plain_ns = bench::Median(plain);
  const double barrier_ns = bench::Median(barrier);
  state.counters["plain_ns"] = plain_ns;
  state.counters["barrier_ns"] = barrier_ns;
  state.counters["ratio"] = barrier_ns / plain_ns;
}
BENCHMARK(RandomOld)->Name("store/random_old_128MB")->UseManualTime()->Iterations(15);

}  // namespace

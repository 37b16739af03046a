import java.util.Locale;
import java.util.Scanner;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The workloads of benchmarks/workloads in Java: one to a process, with the same parameters, and
 * the same lines of figures, "java WORKLOAD METRIC VALUE UNIT".
 */
public final class Bench {
  static final class Node {
    Node left, right;
    int value;

    Node(Node left, Node right, int value) {
      this.left = left;
      this.right = right;
      this.value = value;
    }
  }

  static String workload;
  static volatile long check;

  static void figure(String metric, double value, String unit) {
    System.out.printf(Locale.ROOT, "java %s %s %.10g %s%n", workload, metric, value, unit);
  }

  interface Work {
    void run(int id) throws Exception;
  }

  static void onThreads(int count, Work work) throws Exception {
    Thread[] threads = new Thread[count];
    for (int i = 0; i < count; i++) {
      int id = i;
      threads[i] = new Thread(() -> {
        try {
          work.run(id);
        } catch (Exception e) {
          e.printStackTrace();
          System.exit(3);
        }
      });
      threads[i].start();
    }
    for (Thread thread : threads) thread.join();
  }

  // ---- alloc: each node dies 64 allocations later

  static long allocLoop(Node[] sink, Node anchor, long count) {
    for (long i = 0; i < count; i++) sink[(int) i & 63] = new Node(anchor, null, (int) i);
    long sum = 0;
    for (Node node : sink) if (node != null) sum += node.value;
    return sum;
  }

  static void alloc(int threads, long objects) throws Exception {
    CyclicBarrier line = new CyclicBarrier(threads);
    long[] began = new long[threads];
    long[] ended = new long[threads];
    onThreads(threads, id -> {
      Node[] sink = new Node[64];
      Node anchor = new Node(null, null, 0);
      long share = objects / threads;
      for (int i = 0; i < 10; i++) check += allocLoop(sink, anchor, share / 100);
      line.await();
      began[id] = System.nanoTime();
      check += allocLoop(sink, anchor, share);
      ended[id] = System.nanoTime();
    });
    long first = Long.MAX_VALUE;
    long last = Long.MIN_VALUE;
    for (int i = 0; i < threads; i++) {
      first = Math.min(first, began[i]);
      last = Math.max(last, ended[i]);
    }
    figure("rate." + threads, objects / ((last - first) / 1e9) / 1e6, "Mobj/s");
  }

  // ---- trees

  static Node bottomUp(int depth) {
    if (depth == 0) return new Node(null, null, 1);
    Node left = bottomUp(depth - 1);
    Node right = bottomUp(depth - 1);
    return new Node(left, right, 1);
  }

  static void populate(int depth, Node node) {
    if (depth <= 0) return;
    node.left = new Node(null, null, 1);
    node.right = new Node(null, null, 1);
    populate(depth - 1, node.left);
    populate(depth - 1, node.right);
  }

  static long count(Node tree) {
    if (tree.left == null) return tree.value;
    return tree.value + count(tree.left) + count(tree.right);
  }

  static long binaryTrees(int threads, int depth) throws Exception {
    long sum = count(bottomUp(depth + 1));
    Node longLived = bottomUp(depth);
    AtomicLong shares = new AtomicLong();
    Work share = id -> {
      long counted = 0;
      for (int d = 4; d <= depth; d += 2) {
        long trees = 1L << (depth - d + 4);
        long mine = trees / threads + (id < trees % threads ? 1 : 0);
        for (long i = 0; i < mine; i++) counted += count(bottomUp(d));
      }
      shares.addAndGet(counted);
    };
    if (threads == 1) {
      share.run(0);
    } else {
      onThreads(threads, share);
    }
    return sum + shares.get() + count(longLived);
  }

  static long gcbench(int depth, int doubles) {
    long sum = bottomUp(depth + 1).value;
    Node longLived = new Node(null, null, 1);
    populate(depth, longLived);
    double[] array = new double[doubles];
    for (int i = 0; i < doubles / 2; i++) array[i] = 1.0 / (i + 1);
    for (int d = 4; d <= depth; d += 2) {
      long trees = 2 * ((1L << (depth + 2)) - 1) / ((1L << (d + 1)) - 1);
      for (long i = 0; i < trees; i++) {
        Node tree = new Node(null, null, 1);
        populate(d, tree);
        sum += tree.value;
      }
      for (long i = 0; i < trees; i++) sum += bottomUp(d).value;
    }
    sum += count(longLived);
    if (array[1000] != 1.0 / 1001) throw new IllegalStateException("the array has changed");
    return sum;
  }

  // ---- lru_latency

  static final class Cache {
    final Node[] table;
    final int mask;
    int random = (int) 2463534242L;
    long sum;

    Cache(int bits) {
      table = new Node[1 << bits];
      mask = (1 << bits) - 1;
    }

    int next() {
      random ^= random << 13;
      random ^= random >>> 17;
      random ^= random << 5;
      return random;
    }

    void put(int slot, int key) {
      table[slot] = new Node(bottomUp(3), null, key);
    }

    void operate() {
      int key = next();
      put(key & mask, key);
      sum += count(table[next() & mask].left);
    }

    long operate(long operations, long last) {
      for (long i = 0; i < operations; i++) {
        operate();
        long now = System.nanoTime();
        longest = Math.max(longest, now - last);
        last = now;
      }
      return last;
    }

    long longest;
  }

  static void lru(int bits, long operations) {
    Cache cache = new Cache(bits);
    for (int i = 0; i <= cache.mask; i++) cache.put(i, i);
    for (long i = 0; i < operations / 10; i++) cache.operate();
    long began = System.nanoTime();
    long ended = cache.operate(operations, began);
    figure("max", cache.longest, "ns");
    figure("throughput", operations / ((ended - began) / 1e9), "ops/s");
    check = cache.sum;
  }

  // ---- safepoint: two threads; a third asks for all stacks, which needs a safepoint, each ms.
  // The times are in what -Xlog:safepoint prints.

  static volatile Object kept;
  static volatile long computed;

  static void safepoint(int stops) throws Exception {
    Thread computes = new Thread(() -> {
      for (long x = 1;;) {
        for (int i = 0; i < 1000; i++) x = x * 6364136223846793005L + 1;
        computed = x;
      }
    });
    Thread allocates = new Thread(() -> {
      for (;;) kept = new Node(null, null, 1);
    });
    for (Thread thread : new Thread[] {computes, allocates}) {
      thread.setDaemon(true);
      thread.start();
    }
    for (int i = 0; i < stops; i++) {
      Thread.sleep(1);
      kept = Thread.getAllStackTraces();
    }
  }

  static void peakMemory() throws Exception {
    try (Scanner lines = new Scanner(new java.io.File("/proc/self/status"))) {
      while (lines.hasNextLine()) {
        String[] words = lines.nextLine().split("\\s+");
        if (words[0].equals("VmHWM:")) figure("peak_rss", Long.parseLong(words[1]) / 1024.0, "MiB");
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    workload = arguments.length == 1 ? arguments[0] : "";
    int threads = workload.isEmpty() ? 0 : workload.charAt(workload.length() - 1) - '0';
    long began;
    switch (workload) {
      case "alloc-1":
      case "alloc-2":
        alloc(threads, 200_000_000);
        break;
      case "binary_trees-1":
      case "binary_trees-2":
        for (int i = 0; i < 3; i++) check = binaryTrees(threads, 14);
        began = System.nanoTime();
        check = binaryTrees(threads, 20);
        figure("time." + threads, (System.nanoTime() - began) / 1e9, "s");
        System.err.println("check " + check);
        break;
      case "gcbench-1":
      case "gcbench-2":
        for (int i = 0; i < 3; i++) check = gcbench(12, 20_000);
        began = System.nanoTime();
        onThreads(threads, id -> check = gcbench(20, 4_000_000));
        figure("time." + threads, (System.nanoTime() - began) / 1e9, "s");
        break;
      case "lru_latency":
        lru(20, 5_000_000);
        break;
      case "safepoint":
        safepoint(3_000);
        break;
      default:
        System.err.println("Bench: no workload '" + workload
            + "'; there are alloc-N, binary_trees-N, gcbench-N (N: 1 or 2), lru_latency, safepoint");
        System.exit(2);
    }
    peakMemory();
  }
}

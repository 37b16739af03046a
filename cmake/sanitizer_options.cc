// Options that the sanitizers' run-times read from the program itself, so that a test behaves alike
// under ctest and by hand. What stands in ASAN_OPTIONS, UBSAN_OPTIONS and TSAN_OPTIONS wins.

extern "C" {

#if ATOLL_ASAN
const char* __asan_default_options() {
  return "detect_stack_use_after_return=0:strict_init_order=1:allocator_may_return_null=1";
}
const char* __ubsan_default_options() { return "print_stacktrace=1"; }
#endif

#if ATOLL_TSAN
const char* __tsan_default_options() { return "halt_on_error=1:second_deadlock_stack=1"; }

// oneTBB comes from the system without instrumentation, so the synchronization inside the library
// cannot be seen, and its inlined templates look racy. Only accesses made by its own code are
// excused ("race_top": the innermost frame): what a loop's body does is still checked.
//
// FlipToShared takes a region's lock and then the Shared space's; a collection of the group takes
// them in the other order, by way of a region's Persistents. The first runs in managed state only
// and is no safepoint, the second has all mutators stopped: they never meet.
const char* __tsan_default_suppressions() {
  return "called_from_lib:libtbb.so\n"
         "race_top:tbb::detail\n"
         "race_top:oneapi/tbb/\n"
         "deadlock:Atoll::FlipToShared\n";
}
#endif

}  // extern "C"

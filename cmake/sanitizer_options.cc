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
const char* __tsan_default_suppressions() {
  return "called_from_lib:libtbb.so\n"
         "race_top:tbb::detail\n"
         "race_top:oneapi/tbb/\n";
}
#endif

}  // extern "C"

// tour [small]: shows what isolates do, and checks that it is so.

#include <string_view>

#include "tour.h"

int main(int argc, char** argv) {
  tour::Sizes sizes;
  if (argc == 2 && std::string_view(argv[1]) == "small") {
    sizes = {.hits = 2'001, .trees = 6, .nodes = 5'000, .entries = 1'000, .lookups = 10'000};
  } else if (argc != 1) {
    return std::fprintf(stderr, "usage: tour [small]\n"), 2;
  }
  tour::PingPong(sizes);
  tour::Pool(sizes);
  tour::FrozenTable(sizes);
  return 0;
}

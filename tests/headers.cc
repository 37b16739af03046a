// Nothing but the headers that test_headers precompiles.
int main() {}

/* Checks, files, and memory between pages that may be neither read nor written. Whoever includes this
   defines _GNU_SOURCE first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(condition)                                         \
  do {                                                           \
    if (!(condition)) {                                          \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition);    \
      exit(1);                                                   \
    }                                                            \
  } while (0)

static char *between_guards(size_t size, int at_end) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page;
  char *area = mmap(NULL, (pages + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(area != MAP_FAILED);
  CHECK(!mprotect(area + page, pages * page, PROT_READ | PROT_WRITE));
  return area + page + (at_end ? pages * page - size : 0);
}

static char *content(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  CHECK(file && !fseek(file, 0, SEEK_END));
  *size = (size_t)ftell(file);
  rewind(file);
  char *bytes = malloc(*size);
  CHECK(bytes && fread(bytes, 1, *size, file) == *size);
  fclose(file);
  return bytes;
}

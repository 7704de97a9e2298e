/* Rows from standard input through head.dll to standard output; of Windows it needs kernel32 alone. */
#include "head.h"

typedef void *handle;
#define SYSTEM __declspec(dllimport) extern
SYSTEM handle GetStdHandle(unsigned);
SYSTEM int ReadFile(handle, void *, unsigned, unsigned *, void *);
SYSTEM int WriteFile(handle, const void *, unsigned, unsigned *, void *);
SYSTEM void ExitProcess(unsigned);

static char rows[1 << 20], results[1 << 20], workspace[HEAD_WORKSPACE_BYTES];

void start(void) {
  handle in = GetStdHandle(-10), out = GetStdHandle(-11);
  unsigned n_bytes = 0, more = 0;
  while (n_bytes < sizeof rows && ReadFile(in, rows + n_bytes, sizeof rows - n_bytes, &more, 0) && more)
    n_bytes += more;
  int64_t n_rows = n_bytes / sizeof(head_row);
  unsigned size = n_rows * sizeof(head_results);
  if (size > sizeof results || head_description[0] != '{') ExitProcess(100);
  int error = head_run((const void *)rows, n_rows, HEAD_N_FEATURES, (void *)results, HEAD_N_RESULTS, workspace);
  for (unsigned done = 0; !error && done < size; done += more)
    if (!WriteFile(out, results + done, size - done, &more, 0)) ExitProcess(101);
  ExitProcess(error);
}

/* Calls head_run on memory between pages that may be neither read nor written; built with
   -fsanitize=address. guarded ROWS RESULTS compares with RESULTS; exits 0 if all is as it should be. */
#define _GNU_SOURCE
#include "head.h"
#include "guards.h"

int main(int argc, char **argv) {
  CHECK(argc == 3);
  size_t rows_size, results_size;
  char *rows = content(argv[1], &rows_size), *results = content(argv[2], &results_size);
  int64_t n = (int64_t)(rows_size / sizeof(head_row));
  size_t element = sizeof(head_results) / HEAD_N_RESULTS;
  size_t padded = sizeof(head_results) + 3 * element;

  for (int at_end = 0; at_end < 2; ++at_end) {
    char *A = between_guards(rows_size, at_end);
    memcpy(A, rows, rows_size);
    char *Y = between_guards(results_size, at_end);
    char *workspace = between_guards(HEAD_WORKSPACE_BYTES, at_end);
    CHECK(head_run((void *)A, n, HEAD_N_FEATURES, (void *)Y, HEAD_N_RESULTS, workspace) == HEAD_OK);
    CHECK(!memcmp(Y, results, results_size));
    CHECK(!memcmp(A, rows, rows_size));

    /* Rows of Y apart: what is between them stays. The last ends where Y does. */
    size_t last = (size_t)(n - 1) * padded, size = last + sizeof(head_results);
    Y = between_guards(size, at_end);
    memset(Y, 0x5a, size);
    CHECK(head_run((void *)A, n, HEAD_N_FEATURES, (void *)Y, HEAD_N_RESULTS + 3, workspace) == 0);
    for (size_t at = 0; at < size; ++at) {
      size_t row = at / padded, place = at % padded;
      char wanted = place < sizeof(head_results) ? results[row * sizeof(head_results) + place] : 0x5a;
      CHECK(Y[at] == wanted);
    }
  }

  /* The heap, whose surroundings the sanitizer watches; a workspace that begins anywhere. */
  for (int shift = 0; shift < 3; ++shift) {
    char *Y = malloc(results_size), *workspace = malloc(HEAD_WORKSPACE_BYTES + 2);
    CHECK(!head_run((void *)rows, n, HEAD_N_FEATURES, (void *)Y, HEAD_N_RESULTS, workspace + shift));
    CHECK(!memcmp(Y, results, results_size));
    free(workspace);
    free(Y);
  }

  /* Rows in reverse. */
  {
    char *reversed = malloc(rows_size), *Y = malloc(results_size);
    char *workspace = malloc(HEAD_WORKSPACE_BYTES);
    for (int64_t row = 0; row < n; ++row)
      memcpy(reversed + (size_t)(n - 1 - row) * sizeof(head_row),
             rows + (size_t)row * sizeof(head_row), sizeof(head_row));
    char *first = reversed + rows_size - sizeof(head_row);
    CHECK(!head_run((void *)first, n, -HEAD_N_FEATURES, (void *)Y, HEAD_N_RESULTS, workspace));
    CHECK(!memcmp(Y, results, results_size));

    /* What is refused, before anything is written. */
    memset(Y, 0x5a, results_size);
    void *A = rows, *W = workspace, *to = Y;
    int64_t D = HEAD_N_FEATURES, M = HEAD_N_RESULTS, huge = INT64_C(1) << 48;
    CHECK(head_run(NULL, 0, 0, NULL, 0, NULL) == HEAD_OK);
    CHECK(head_run(NULL, n, D, to, M, W) == HEAD_NULL);
    CHECK(head_run(A, n, D, NULL, M, W) == HEAD_NULL);
    CHECK(head_run(A, n, D, to, M, NULL) == HEAD_NULL);
    CHECK(head_run(A, -1, D, to, M, W) == HEAD_SIZE);
    CHECK(head_run(A, INT64_MIN, D, to, M, W) == HEAD_SIZE);
    CHECK(head_run(A, huge, D, to, M, W) == HEAD_SIZE);
    CHECK(head_run(A, huge - 1, huge - 1, to, M, W) == HEAD_SIZE);
    CHECK(head_run(A, huge - 1, -(huge - 1), to, M, W) == HEAD_SIZE);
    CHECK(head_run(A, n, D, to, M - 1, W) == HEAD_STRIDE);
    CHECK(head_run(A, n, D, to, -M, W) == HEAD_STRIDE);
    CHECK(head_run(A, n, D, to, huge, W) == HEAD_STRIDE);
    CHECK(head_run(A, n, INT64_MAX, to, M, W) == HEAD_STRIDE);
    CHECK(head_run(A, n, INT64_MIN, to, M, W) == HEAD_STRIDE);
    CHECK(head_run((void *)(rows + 1), n, D, to, M, W) == HEAD_UNALIGNED);
    CHECK(head_run(A, n, D, (void *)(Y + 1), M, W) == HEAD_UNALIGNED);
    CHECK(head_run(to, 1, D, to, M, W) == HEAD_OVERLAP);
    CHECK(head_run(A, n, D, to, M, rows + rows_size - 1) == HEAD_OVERLAP);
    CHECK(head_run(A, n, D, to, M, Y) == HEAD_OVERLAP);
    for (size_t at = 0; at < results_size; ++at) CHECK(Y[at] == 0x5a);
    CHECK(strstr(head_description, "\"name\": \"head\""));
    free(workspace);
    free(Y);
    free(reversed);
  }
  free(results);
  free(rows);
  return 0;
}

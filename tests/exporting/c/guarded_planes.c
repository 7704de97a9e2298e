/* Calls head_run, a convolution, on memory between pages that may be neither read nor written; built with
   -fsanitize=address. guarded HEIGHT WIDTH IMAGES RESULTS compares with RESULTS; exits 0 if all is well. */
#define _GNU_SOURCE
#include "head.h"
#include "guards.h"

int main(int argc, char **argv) {
  CHECK(argc == 5);
  int64_t height = atoll(argv[1]), width = atoll(argv[2]);
  size_t images_size, results_size;
  char *images = content(argv[3], &images_size), *results = content(argv[4], &results_size);
  size_t image_bytes = (size_t)(height * width) * HEAD_N_CHANNELS * sizeof(head_element);
  int64_t n = (int64_t)(images_size / image_bytes);
  CHECK(results_size == (size_t)n * HEAD_N_OUTPUTS * sizeof(head_result) *
                            (size_t)(HEAD_OUTPUT_HEIGHT(height) * HEAD_OUTPUT_WIDTH(width)));
  size_t need = (size_t)head_workspace_bytes(height, width);
  CHECK(need > 0);

  for (int at_end = 0; at_end < 2; ++at_end) {
    char *x = between_guards(images_size, at_end), *y = between_guards(results_size, at_end);
    char *workspace = between_guards(need, at_end);
    memcpy(x, images, images_size);
    CHECK(head_run((void *)x, n, height, width, (void *)y, workspace) == HEAD_OK);
    CHECK(!memcmp(y, results, results_size));
    CHECK(!memcmp(x, images, images_size));
  }

  /* The heap, whose surroundings the sanitizer watches; a workspace that begins anywhere. */
  for (int shift = 0; shift < 3; ++shift) {
    char *y = malloc(results_size), *workspace = malloc(need + (size_t)shift);
    memset(workspace, 0xa5, need + (size_t)shift);
    CHECK(!head_run((void *)images, n, height, width, (void *)y, workspace + shift));
    CHECK(!memcmp(y, results, results_size));
    free(workspace);
    free(y);
  }

  /* What is refused, before anything is written. */
  char *y = malloc(results_size), *workspace = malloc(need);
  memset(y, 0x5a, results_size);
  void *x = images, *to = y, *W = workspace;
  int64_t huge = INT64_C(1) << 48, most = INT64_C(1) << 20;
  CHECK(head_run(NULL, 0, height, width, NULL, NULL) == HEAD_OK);
  CHECK(head_run(NULL, n, height, width, to, W) == HEAD_NULL);
  CHECK(head_run(x, n, height, width, NULL, W) == HEAD_NULL);
  CHECK(head_run(x, n, height, width, to, NULL) == HEAD_NULL);
  CHECK(head_run(x, -1, height, width, to, W) == HEAD_SIZE);
  CHECK(head_run(x, INT64_MIN, height, width, to, W) == HEAD_SIZE);
  CHECK(head_run(x, huge, height, width, to, W) == HEAD_SIZE);
  CHECK(head_run(x, huge - 1, most, most, to, W) == HEAD_SIZE);
  CHECK(head_run(x, n, 0, width, to, W) == HEAD_SIZE);
  CHECK(head_run(x, n, height, -1, to, W) == HEAD_SIZE);
  CHECK(head_run(x, n, most + 1, width, to, W) == HEAD_SIZE);
  CHECK(head_run(x, n, height, INT64_MAX, to, W) == HEAD_SIZE);
  CHECK(head_run(x, n, INT64_MIN, width, to, W) == HEAD_SIZE);
  CHECK(head_workspace_bytes(0, width) == 0);
  CHECK(head_workspace_bytes(height, most + 1) == 0);
  CHECK(head_workspace_bytes(most, most) > 0);
  if (sizeof(head_element) > 1)
    CHECK(head_run((void *)(images + 1), n, height, width, to, W) == HEAD_UNALIGNED);
  if (sizeof(head_result) > 1)
    CHECK(head_run(x, n, height, width, (void *)(y + 1), W) == HEAD_UNALIGNED);
  CHECK(head_run(x, n, height, width, x, W) == HEAD_OVERLAP);
  CHECK(head_run(x, n, height, width, to, images + images_size - 1) == HEAD_OVERLAP);
  CHECK(head_run(x, n, height, width, to, y) == HEAD_OVERLAP);
  for (size_t at = 0; at < results_size; ++at) CHECK(y[at] == 0x5a);
  CHECK(strstr(head_description, "\"name\": \"head\""));
  free(workspace);
  free(y);
  free(results);
  free(images);
  return 0;
}

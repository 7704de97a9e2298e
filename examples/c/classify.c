/* Names the digit on each image of a file of raw float32 pixels, two threads sharing the images;
   prints one digit a line. All memory is static. */
#include "digits.h"

#include <pthread.h>
#include <stdio.h>

/* What the model was trained for, checked when this is compiled. */
_Static_assert(DIGITS_N_FEATURES == 64, "images of 8 x 8 pixels");
_Static_assert(DIGITS_N_RESULTS == 1, "the index of the largest score");

enum { N_THREADS = 2, MOST_IMAGES = 2048 };

static digits_row images[MOST_IMAGES];
static int64_t labels[MOST_IMAGES];
static size_t n_images;

struct part {
  size_t first, count;
  int error;
  unsigned char workspace[DIGITS_WORKSPACE_BYTES]; /* one for each thread */
};

static void *classify(void *argument) {
  struct part *part = argument;
  part->error = digits_run(images[part->first], (int64_t)part->count, DIGITS_N_FEATURES,
                           labels + part->first, DIGITS_N_RESULTS, part->workspace);
  return NULL;
}

int main(int argc, char **argv) {
  static struct part parts[N_THREADS];
  pthread_t threads[N_THREADS];
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (!file) {
    fprintf(stderr, "usage: classify IMAGES\n");
    return 1;
  }
  n_images = fread(images, sizeof(digits_row), MOST_IMAGES, file);
  fclose(file);

  for (int i = 0; i < N_THREADS; ++i) {
    parts[i].first = n_images * (size_t)i / N_THREADS;
    parts[i].count = n_images * (size_t)(i + 1) / N_THREADS - parts[i].first;
    if (pthread_create(&threads[i], NULL, classify, &parts[i])) return 1;
  }
  for (int i = 0; i < N_THREADS; ++i) {
    if (pthread_join(threads[i], NULL) || parts[i].error) return 1;
  }
  for (size_t i = 0; i < n_images; ++i) printf("%d\n", (int)labels[i]);
  return 0;
}

/* The sound of a picture: generate BUNDLE PICTURE.ppm OUT.wav [SEED] */
#include <echoes_rt/echoes_rt.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *sentence) {
  fprintf(stderr, "generate: %s\n", sentence);
  return 1;
}

static uint8_t *read_ppm(const char *path, int32_t *width, int32_t *height) {
  FILE *file = fopen(path, "rb");
  int w = 0, h = 0;
  uint8_t *pixels = NULL;
  if (file == NULL) return NULL;
  if (fscanf(file, "P6 %5d %5d 255%*c", &w, &h) == 2 && w > 0 && h > 0) {
    pixels = malloc((size_t)w * h * 3);
    if (pixels != NULL && fread(pixels, (size_t)w * 3, h, file) != (size_t)h) pixels = NULL;
  }
  fclose(file);
  *width = w, *height = h;
  return pixels;
}

static void put(FILE *file, uint32_t value, int bytes) {
  for (; bytes > 0; --bytes, value >>= 8) fputc(value & 255, file);
}

static int write_wav(const char *path, const float *samples, uint32_t size, uint32_t rate) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) return 0;
  fputs("RIFF", file), put(file, 36 + 2 * size, 4), fputs("WAVEfmt ", file), put(file, 16, 4);
  put(file, 1, 2), put(file, 1, 2), put(file, rate, 4), put(file, 2 * rate, 4);
  put(file, 2, 2), put(file, 16, 2), fputs("data", file), put(file, 2 * size, 4);
  for (uint32_t i = 0; i < size; ++i) put(file, (uint32_t)(int32_t)(samples[i] * 32767), 2);
  return fclose(file) == 0;
}

int main(int argc, char **argv) {
  echoes_model *model = NULL;
  echoes_model_info info = {sizeof info};
  echoes_generate_options options = {sizeof options};
  int32_t width, height;
  if (argc < 4) return fail("give BUNDLE PICTURE.ppm OUT.wav [SEED]");
  uint8_t *pixels = read_ppm(argv[2], &width, &height);
  if (pixels == NULL) return fail("the picture cannot be read as a binary PPM file");
  if (echoes_model_create(argv[1], NULL, &model) != ECHOES_OK) return fail(echoes_last_error());
  echoes_model_get_info(model, &info);
  echoes_generate_options_init(model, &options);
  options.seed = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
  size_t size = (size_t)info.num_samples;
  float *samples = malloc(size * sizeof *samples);
  if (echoes_image_to_audio(model, pixels, width, height, &options, samples, &size) != ECHOES_OK) {
    return fail(echoes_last_error());
  }
  if (!write_wav(argv[3], samples, size, info.sample_rate)) return fail("cannot write the sound");
  free(samples), free(pixels), echoes_model_destroy(model);
  return 0;
}

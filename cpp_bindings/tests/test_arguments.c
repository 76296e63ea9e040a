/* That the header is C99, and that no argument makes a function of it fall over. Usage:
   test_arguments BUNDLE; the first half runs without ONNX Runtime. */
#include <echoes_rt/echoes_rt.h>
#include <math.h>
#include <string.h>

#include "check.h"

#define IS_REFUSED(call, words)                           \
  do {                                                    \
    size = kRoom;                                         \
    CHECK((call) == ECHOES_ERROR_INPUT);                  \
    if (strstr(echoes_last_error(), words) == NULL) {     \
      fprintf(stderr, "said: %s\n", echoes_last_error()); \
      CHECK(!"the sentence has the words");               \
    }                                                     \
  } while (0)

enum { kRoom = 1 << 16 };

static uint8_t bytes[kRoom];
static float floats[kRoom];
static int32_t codes[kRoom];
static size_t size;

static void test_null_model(void) {
  echoes_model_info info = {sizeof info};
  echoes_generate_options options = {sizeof options};
  const char *words = "model must not be NULL";
  echoes_model_destroy(NULL);
  IS_REFUSED(echoes_model_create("somewhere", NULL, NULL), words);
  IS_REFUSED(echoes_model_get_info(NULL, &info), words);
  IS_REFUSED(echoes_generate_options_init(NULL, &options), words);
  IS_REFUSED(echoes_image_to_audio(NULL, bytes, 1, 1, NULL, floats, &size), words);
  IS_REFUSED(echoes_audio_to_image(NULL, floats, 1, NULL, bytes, &size), words);
  IS_REFUSED(echoes_cogenerate(NULL, NULL, bytes, &size, floats, &size), words);
  IS_REFUSED(echoes_inpaint(NULL, floats, 9, 0, 1, NULL, 0, 0, NULL, floats, &size), words);
  IS_REFUSED(echoes_continue(NULL, floats, 9, 1, NULL, 0, 0, NULL, floats, &size), words);
  IS_REFUSED(echoes_vary_audio(NULL, floats, 9, 0.5, NULL, floats, &size), words);
  IS_REFUSED(echoes_vary_image(NULL, bytes, 1, 1, 0.5, NULL, bytes, &size), words);
  IS_REFUSED(echoes_stream(NULL, bytes, 1, 1, 1, NULL, NULL, NULL), words);
  IS_REFUSED(echoes_encode_image(NULL, bytes, 1, 1, codes, &size), words);
  IS_REFUSED(echoes_confidence(NULL, bytes, 1, 1, floats), words);
  IS_REFUSED(echoes_encode_audio(NULL, floats, 1, codes, &size), words);
  IS_REFUSED(echoes_decode_tokens(NULL, ECHOES_AUDIO, codes, 1, NULL, 0, NULL), words);
  IS_REFUSED(echoes_decode_image(NULL, codes, 1, bytes, &size), words);
  IS_REFUSED(echoes_decode_audio(NULL, codes, 1, 0, floats, &size), words);
  IS_REFUSED(echoes_mask_audio(NULL, 0, 1, codes, 1), words);
}

static void test_wrong_bundles(void) {
  echoes_model *model = (echoes_model *)&size;
  IS_REFUSED(echoes_model_create(NULL, NULL, &model), "bundle_path must not be NULL");
  CHECK(model == NULL);
  CHECK(echoes_model_create("", NULL, &model) == ECHOES_ERROR_BUNDLE);
  CHECK(echoes_model_create("no\nsuch\xff/place", NULL, &model) == ECHOES_ERROR_BUNDLE);
  CHECK(strstr(echoes_last_error(), "no bundle at") != NULL);
}

static void test_wrong_model_options(const char *bundle) {
  echoes_model *model = NULL;
  echoes_model_options options = {sizeof options};
  options.threads = -1;
  IS_REFUSED(echoes_model_create(bundle, &options, &model), "threads must be in [0, 1024], got -1");
  options.threads = 0;
  options.device = "tpu";
  CHECK(echoes_model_create(bundle, &options, &model) != ECHOES_OK);
  options.struct_size = 3;
  IS_REFUSED(echoes_model_create(bundle, &options, &model), "struct_size of the model options");
  options.device = NULL;
  options.struct_size = sizeof options;
  options.onnxruntime_path = "/no/such/library.so";
  CHECK(echoes_model_create(bundle, &options, &model) == ECHOES_ERROR_BACKEND);
  CHECK(strstr(echoes_last_error(), "no ONNX Runtime found") != NULL);
  CHECK(model == NULL);
}

static void test_wrong_structs(echoes_model *model) {
  struct {
    echoes_generate_options known;
    uint64_t from_the_future;
  } options = {{sizeof options}, 1};
  echoes_model_info info = {0};
  IS_REFUSED(echoes_model_get_info(model, &info), "struct_size of the model info");
  IS_REFUSED(echoes_model_get_info(model, NULL), "info must not be NULL");
  IS_REFUSED(echoes_generate_options_init(model, NULL), "options must not be NULL");
  CHECK(echoes_generate_options_init(model, &options.known) == ECHOES_OK);
  CHECK(options.from_the_future == 0 && options.known.struct_size == sizeof options);
  size = kRoom;
  CHECK(echoes_cogenerate(model, &options.known, bytes, &size, floats, &(size_t){kRoom}) ==
        ECHOES_OK);
  options.from_the_future = 7;
  IS_REFUSED(echoes_decode_tokens(model, ECHOES_AUDIO, codes, 1, NULL, 0, &options.known),
             "does not know");
}

static void test_wrong_dials(echoes_model *model) {
  echoes_generate_options options = {sizeof options}, changed;
  CHECK(echoes_generate_options_init(model, &options) == ECHOES_OK);
#define WITH(field, value, words) \
  changed = options;              \
  changed.field = value;          \
  IS_REFUSED(echoes_image_to_audio(model, bytes, 8, 8, &changed, floats, &size), words)
  WITH(steps, 0, "steps must be in [1, 1000], got 0");
  WITH(steps, 1001, "steps must be in [1, 1000], got 1001");
  WITH(guidance_schedule, 2, "guidance_schedule must be 0");
  WITH(guidance_scale, -1, "guidance_scale must be in [0, 100], got -1");
  WITH(guidance_scale, NAN, "guidance_scale must be in [0, 100], got nan");
  WITH(temperature, 11, "temperature must be in [0, 10], got 11");
  WITH(temperature, INFINITY, "temperature must be in [0, 10], got inf");
  WITH(guidance_start, NAN, "guidance_start must be in [0, 1], got nan");
  WITH(guidance_stop, 1.5, "guidance_stop must be in [0, 1], got 1.5");
  options.guidance_start = 0.75;
  WITH(guidance_stop, 0.5, "guidance_start must not be above guidance_stop");
#undef WITH
}

static void test_wrong_media(echoes_model *model) {
  const int32_t whole = INT32_MAX;
  size_t too_small = 1;
  IS_REFUSED(echoes_encode_image(model, NULL, 8, 8, codes, &size), "pixels must not be NULL");
  IS_REFUSED(echoes_encode_image(model, bytes, 0, 8, codes, &size), "got 0 x 8");
  IS_REFUSED(echoes_encode_image(model, bytes, 8, -1, codes, &size), "got 8 x -1");
  IS_REFUSED(echoes_encode_image(model, bytes, whole, whole, codes, &size), "100000000 pixels");
  IS_REFUSED(echoes_encode_image(model, bytes, 8, 8, codes, NULL), "must not be NULL");
  IS_REFUSED(echoes_confidence(model, NULL, 8, 8, floats), "pixels must not be NULL");
  IS_REFUSED(echoes_confidence(model, bytes, 8, 8, NULL), "confidence must not be NULL");
  IS_REFUSED(echoes_encode_image(model, bytes, 8, 8, codes, &too_small), "codes must hold");
  CHECK(too_small > 1);
  IS_REFUSED(echoes_encode_audio(model, NULL, 5, codes, &size), "sound must not be NULL");
  IS_REFUSED(echoes_encode_audio(model, floats, 0, codes, &size), "at least 1 sample, got 0");
  floats[3] = NAN;
  IS_REFUSED(echoes_encode_audio(model, floats, 9, codes, &size), "sample 3 is nan");
  floats[3] = -INFINITY;
  IS_REFUSED(echoes_audio_to_image(model, floats, 9, NULL, bytes, &size), "sample 3 is -inf");
  floats[3] = 0;
  IS_REFUSED(echoes_vary_audio(model, floats, 9, 1.1, NULL, floats, &size), "keep must be in");
  IS_REFUSED(echoes_vary_image(model, bytes, 8, 8, NAN, NULL, bytes, &size), "keep must be in");
  IS_REFUSED(echoes_stream(model, bytes, 8, 8, 1, NULL, NULL, NULL), "on_samples must not be");
  IS_REFUSED(echoes_continue(model, floats, 9, 0, NULL, 0, 0, NULL, floats, &size), "duration");
  IS_REFUSED(echoes_continue(model, floats, 9, NAN, NULL, 0, 0, NULL, floats, &size), "duration");
  IS_REFUSED(echoes_cogenerate(model, NULL, NULL, &size, floats, &size), "must both be NULL");
}

static void test_wrong_seconds(echoes_model *model, size_t clip) {
  const char *inside = "must lie within";
  IS_REFUSED(echoes_inpaint(model, floats, clip, 0.1, 0.1, NULL, 0, 0, NULL, floats, &size),
             inside);
  IS_REFUSED(echoes_inpaint(model, floats, clip, -1, 0.1, NULL, 0, 0, NULL, floats, &size), inside);
  IS_REFUSED(echoes_inpaint(model, floats, clip, 0, 1e9, NULL, 0, 0, NULL, floats, &size), inside);
  IS_REFUSED(echoes_inpaint(model, floats, clip, NAN, 1, NULL, 0, 0, NULL, floats, &size), inside);
  IS_REFUSED(echoes_mask_audio(model, 0, INFINITY, codes, 1), "codes must have");
}

static void test_wrong_tokens(echoes_model *model, const echoes_model_info *info) {
  const size_t n = (size_t)(info->audio_rows * info->audio_columns);
  const size_t n_image = (size_t)(info->image_rows * info->image_columns);
#define DECODED(...) echoes_decode_tokens(model, ECHOES_AUDIO, __VA_ARGS__, NULL)
  memset(codes, 0, sizeof codes);
  IS_REFUSED(echoes_decode_tokens(model, 2, codes, n, NULL, 0, NULL), "target must be 0");
  IS_REFUSED(DECODED(codes, n - 1, NULL, 0), "tokens must have");
  IS_REFUSED(DECODED(NULL, n, NULL, 0), "tokens must not be NULL");
  IS_REFUSED(DECODED(codes, n, NULL, n_image), "context must not be NULL");
  IS_REFUSED(DECODED(codes, n, codes, n_image - 1), "context must have");
  IS_REFUSED(echoes_mask_audio(model, 0, 1e9, codes, n), "must lie within");
  codes[n - 1] = info->audio_codebook_size + 1;
  IS_REFUSED(DECODED(codes, n, NULL, 0), "tokens must be codes in [0, ");
  codes[n - 1] = 0;
  codes[n_image - 1] = info->image_codebook_size; /* of a context, all is known */
  IS_REFUSED(DECODED(codes, n, codes, n_image), "context must be codes in [0, ");
  codes[0] = -1;
  IS_REFUSED(echoes_decode_image(model, codes, 1, bytes, &size), "codes must have");
  IS_REFUSED(echoes_decode_image(model, codes, n_image, bytes, &size),
             "codes must be codes in [0, ");
#undef DECODED
}

int main(int argc, char **argv) {
  echoes_model *model = NULL;
  echoes_model_info info = {sizeof info};
  CHECK(argc == 2);
  CHECK(strcmp(echoes_last_error(), "") == 0);
  test_null_model();
  test_wrong_bundles();
  test_wrong_model_options(argv[1]);
  if (echoes_model_create(argv[1], NULL, &model) == ECHOES_ERROR_BACKEND) {
    fprintf(stderr, "skipped: %s\n", echoes_last_error());
    return 77; /* ctest counts it as skipped */
  }
  CHECK(model != NULL && strcmp(echoes_last_error(), "") == 0);
  CHECK(echoes_model_get_info(model, &info) == ECHOES_OK);
  CHECK(info.num_samples < kRoom);
  test_wrong_structs(model);
  test_wrong_dials(model);
  test_wrong_media(model);
  test_wrong_seconds(model, (size_t)info.num_samples);
  test_wrong_tokens(model, &info);
  echoes_model_destroy(model);
  return 0;
}

/* echoes-rt: a picture's sound, a sound's picture, and what is missing in either.

   A first program (the whole of it is examples/generate.c):

     echoes_model *model = NULL;
     echoes_generate_options options = {sizeof options};
     size_t num_samples = 0;
     if (echoes_model_create("bundles/echoes-mini", NULL, &model) != ECHOES_OK) return fail();
     echoes_generate_options_init(model, &options);
     options.seed = 7;
     echoes_image_to_audio(model, pixels, width, height, &options, NULL, &num_samples);
     float *samples = malloc(num_samples * sizeof *samples);
     if (echoes_image_to_audio(model, pixels, width, height, &options, samples, &num_samples) !=
         ECHOES_OK) {
       fprintf(stderr, "%s\n", echoes_last_error());
     }
     echoes_model_destroy(model);

   Errors. Every function that can fail returns an echoes_status. After a failure
   echoes_last_error() gives one sentence on the calling thread: what is wrong, the value, what is
   allowed. Outputs are then undefined, but for sizes that a sentence names. Nothing is printed, no
   exception leaves the library, and the process is never ended.

   Ownership. The caller owns every buffer. Each output buffer has a size beside it that says, in
   elements, how much it holds before the call and how much is in it after. With a NULL buffer
   nothing is made: the call only writes the size. Strings that are returned belong to the library;
   each says how long it lives.

   Threads. One model serves many threads at once. Only echoes_model_destroy must not run while
   another thread uses the model. The step callback runs on the calling thread, must not throw or
   longjmp out, and must not destroy its model.

   Versions. Structs that may grow begin with struct_size, which the caller sets to sizeof; they
   grow at their end only. A zero in a field that this library does not know is ignored, anything
   else is an error. */

#ifndef ECHOES_RT_ECHOES_RT_H
#define ECHOES_RT_ECHOES_RT_H

#include <stddef.h>
#include <stdint.h>

#if defined(ECHOES_STATIC)
#define ECHOES_API
#elif defined(_WIN32) && defined(ECHOES_BUILDING)
#define ECHOES_API __declspec(dllexport)
#elif defined(_WIN32)
#define ECHOES_API __declspec(dllimport)
#else
#define ECHOES_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum echoes_status {
  ECHOES_OK = 0,
  ECHOES_ERROR_INPUT = 1,     /* an argument of the caller's */
  ECHOES_ERROR_BUNDLE = 2,    /* the bundle is missing, damaged or breaks a rule */
  ECHOES_ERROR_BACKEND = 3,   /* ONNX Runtime or the device cannot be used */
  ECHOES_ERROR_CANCELLED = 4, /* the step callback asked to stop */
  ECHOES_ERROR_INTERNAL = 5   /* out of memory, or a fault of the library's own */
} echoes_status;

/* The version of the library, as "1.2.3"; lives for ever. */
ECHOES_API const char *echoes_version(void);

/* The sentence of the last failure on this thread, "" if there was none; lives until the next call
   of a function with a status on this thread. UTF-8. */
ECHOES_API const char *echoes_last_error(void);

/* -- models ------------------------------------------------------------------------------------ */

/* A loaded bundle. */
typedef struct echoes_model echoes_model;

typedef struct echoes_model_options {
  size_t struct_size;
  /* "auto", "cpu", "cuda" or "cuda:<index>"; NULL is "auto": CUDA if a session starts on it, else
     the CPU. A device that is asked for and does not start is an error. */
  const char *device;
  /* The ONNX Runtime library, or a folder that holds it. NULL searches: the environment variable
     ECHOES_RT_ORT (a file or folder), the folder of this library, the system's library path. */
  const char *onnxruntime_path;
  /* CPU threads for one operator, 1 to 1024; 0 is one a core, but no more than a container's CPU
     quota or the CPUs that the process is bound to. */
  int32_t threads;
} echoes_model_options;

/* Opens a bundle's folder (a UTF-8 path; names of bundles are for Python alone), verifies every
   file that its manifest lists, opens ONNX Runtime and chooses a device. Graphs are loaded when
   they are first needed. options may be NULL. *model is NULL after a failure. */
ECHOES_API echoes_status echoes_model_create(const char *bundle_path,
                                             const echoes_model_options *options,
                                             echoes_model **model);

/* NULL is fine. */
ECHOES_API void echoes_model_destroy(echoes_model *model);

/* What a model is; the sizes of all buffers follow from it. */
typedef struct echoes_model_info {
  size_t struct_size;
  /* These six live as long as the model. */
  const char *name;
  const char *license;
  const char *device;                /* "cpu" or "cuda:<index>" */
  const char *device_reason;         /* why that device */
  const char *unrecorded;            /* why a GPU gets single steps, not CUDA graphs; else empty */
  const char *onnxruntime_version;   /* of the library that was opened */
  int32_t image_width, image_height; /* of generated pictures, pixels */
  int32_t sample_rate;               /* Hz, of every sound given and made */
  int64_t num_samples;               /* in one clip */
  int32_t image_columns, image_rows; /* the grid of image codes */
  int32_t audio_columns, audio_rows; /* the grid of audio codes: columns are time */
  /* Codes are below it; the size itself is the medium's mask token, which stands for unknown. */
  int32_t image_codebook_size, audio_codebook_size;
  /* 1 if the bundle has the graphs for it, else 0. */
  int32_t can_make_images, can_read_audio;
} echoes_model_info;

/* Set info->struct_size first. */
ECHOES_API echoes_status echoes_model_get_info(const echoes_model *model, echoes_model_info *info);

/* -- options of a generation --------------------------------------------------------------- */

/* Called after each decoding step, with its 0-based index; return 0 to cancel. Without one, a CPU
   runs all steps in one call of one graph, if the bundle has it; the codes are the same. */
typedef int32_t (*echoes_step_callback)(int32_t step, int32_t steps, void *user_data);

typedef enum echoes_guidance_schedule {
  ECHOES_GUIDANCE_CONSTANT = 0,
  ECHOES_GUIDANCE_ANNEALED = 1 /* falls to 1 with the share of tokens that is still masked */
} echoes_guidance_schedule;

typedef struct echoes_generate_options {
  size_t struct_size;
  uint64_t seed; /* the same seed gives the same codes */
  /* Parallel decoding passes, 1 to 1000; no more are made than codes are unknown. */
  int32_t steps;
  int32_t guidance_schedule; /* an echoes_guidance_schedule */
  double guidance_scale;     /* how much the condition counts, 0 to 100; 1 is off and costs half */
  double temperature;        /* divides the logits before a code is drawn, 0 to 10; 0 is argmax */
  double guidance_start;     /* guidance is on from this share of the steps, 0 to 1, */
  double guidance_stop;      /* until this one */
  echoes_step_callback on_step; /* may be NULL */
  void *user_data;              /* for on_step */
  /* Receive the codes of a picture and of a sound that a task makes, row by row, as many as their
     grids have; may be NULL. Of a stream or a continued sound, those of the last window. */
  int32_t *image_codes;
  int32_t *audio_codes;
} echoes_generate_options;

/* Fills in the bundle's own defaults, seed 0 and no callback. Set options->struct_size first. */
ECHOES_API echoes_status echoes_generate_options_init(const echoes_model *model,
                                                      echoes_generate_options *options);

/* -- tasks --------------------------------------------------------------------------------------
   Pictures are RGB, 8 bits, height x width x 3 without padding, at most 100 million pixels; the
   model sees the largest centred crop. Sounds are mono at the model's sample rate, nominally in
   [-1, 1]. options may be NULL: the bundle's defaults with seed 0. */

/* The sound of a picture: one clip. */
ECHOES_API echoes_status echoes_image_to_audio(echoes_model *model, const uint8_t *pixels,
                                               int32_t width, int32_t height,
                                               const echoes_generate_options *options,
                                               float *samples, size_t *num_samples);

/* The picture of a sound's first clip: image_height x image_width x 3 bytes. */
ECHOES_API echoes_status echoes_audio_to_image(echoes_model *model, const float *sound,
                                               size_t sound_size,
                                               const echoes_generate_options *options,
                                               uint8_t *pixels, size_t *num_bytes);

/* A picture and its sound from nothing. Both buffers are NULL or neither is. */
ECHOES_API echoes_status echoes_cogenerate(echoes_model *model,
                                           const echoes_generate_options *options, uint8_t *pixels,
                                           size_t *num_bytes, float *samples, size_t *num_samples);

/* Makes anew what lies between two seconds of a sound; all samples but those and short cross-fades
   round them stay. pixels, a picture of what is to be heard, may be NULL. Gives sound_size
   samples. */
ECHOES_API echoes_status echoes_inpaint(echoes_model *model, const float *sound, size_t sound_size,
                                        double start_s, double stop_s, const uint8_t *pixels,
                                        int32_t width, int32_t height,
                                        const echoes_generate_options *options, float *samples,
                                        size_t *num_samples);

/* A sound and duration_s more seconds, up to 3600, that follow from it. pixels, a picture of what
   is to be heard in them, may be NULL. */
ECHOES_API echoes_status echoes_continue(echoes_model *model, const float *sound, size_t sound_size,
                                         double duration_s, const uint8_t *pixels, int32_t width,
                                         int32_t height, const echoes_generate_options *options,
                                         float *samples, size_t *num_samples);

/* A clip like a sound's first clip: each of its codes stays with the probability keep, 0 to 1. */
ECHOES_API echoes_status echoes_vary_audio(echoes_model *model, const float *sound,
                                           size_t sound_size, double keep,
                                           const echoes_generate_options *options, float *samples,
                                           size_t *num_samples);

/* The same for a picture. */
ECHOES_API echoes_status echoes_vary_image(echoes_model *model, const uint8_t *pixels,
                                           int32_t width, int32_t height, double keep,
                                           const echoes_generate_options *options, uint8_t *varied,
                                           size_t *num_bytes);

/* Gets the next samples of a stream, on the calling thread; return 0 to cancel. */
typedef int32_t (*echoes_samples_callback)(const float *samples, size_t num_samples,
                                           void *user_data);

/* The sound of a picture, of any length up to 86400 seconds, in memory that does not grow with it.
   pixels may be NULL. user_data is for on_samples alone. */
ECHOES_API echoes_status echoes_stream(echoes_model *model, const uint8_t *pixels, int32_t width,
                                       int32_t height, double duration_s,
                                       const echoes_generate_options *options,
                                       echoes_samples_callback on_samples, void *user_data);

/* -- the steps behind the tasks ------------------------------------------------------------------
   Codes are those of a grid, row by row. */

/* A picture's image codes: image_rows x image_columns. */
ECHOES_API echoes_status echoes_encode_image(echoes_model *model, const uint8_t *pixels,
                                             int32_t width, int32_t height, int32_t *codes,
                                             size_t *num_codes);

/* How surely a picture shows what the model knows, in [0, 1]; below 0.5 its sound is a guess. NaN:
   the bundle cannot tell. */
ECHOES_API echoes_status echoes_confidence(echoes_model *model, const uint8_t *pixels,
                                           int32_t width, int32_t height, float *confidence);

/* The audio codes of a sound's first clip: audio_rows x audio_columns. */
ECHOES_API echoes_status echoes_encode_audio(echoes_model *model, const float *sound,
                                             size_t sound_size, int32_t *codes, size_t *num_codes);

typedef enum echoes_medium { ECHOES_IMAGE = 0, ECHOES_AUDIO = 1 } echoes_medium;

/* Fills in the mask tokens among the codes of the target, an echoes_medium, and keeps the rest:
   every task is a question to this function. tokens are changed in place. context, all codes of the
   other medium, may be NULL with num_context 0: nothing is known of it. */
ECHOES_API echoes_status echoes_decode_tokens(echoes_model *model, int32_t target,
                                              int32_t *tokens, size_t num_tokens,
                                              const int32_t *context, size_t num_context,
                                              const echoes_generate_options *options);

/* The picture of image codes. */
ECHOES_API echoes_status echoes_decode_image(echoes_model *model, const int32_t *codes,
                                             size_t num_codes, uint8_t *pixels, size_t *num_bytes);

/* The sound of audio codes, in [-1, 1]. The seed draws what codes leave open, where a bundle's
   decoder takes noise. */
ECHOES_API echoes_status echoes_decode_audio(echoes_model *model, const int32_t *codes,
                                             size_t num_codes, uint64_t seed, float *samples,
                                             size_t *num_samples);

/* Puts the mask token in the place of every audio code that sounds between two seconds of a
   clip. */
ECHOES_API echoes_status echoes_mask_audio(const echoes_model *model, double start_s, double stop_s,
                                           int32_t *codes, size_t num_codes);

#ifdef __cplusplus
}
#endif

#endif /* ECHOES_RT_ECHOES_RT_H */

// The C API: models, and what they are.

#include "api_request.h"
#include "ort_library.h"

namespace echoes {
namespace {

echoes_model_info info_of(const echoes_model &model) {
  const Manifest &manifest = model.manifest();
  const Device &device = model.device();
  echoes_model_info info{};
  info.name = manifest.name.c_str();
  info.license = manifest.license.c_str();
  info.device = device.name.c_str();
  info.device_reason = device.reason.c_str();
  info.unrecorded = model.unrecorded();
  info.onnxruntime_version = device.library->version().c_str();
  info.image_width = manifest.image.width;
  info.image_height = manifest.image.height;
  info.sample_rate = manifest.mel.sample_rate;
  info.num_samples = manifest.mel.n_samples();
  info.image_columns = manifest.grids.image.width;
  info.image_rows = manifest.grids.image.height;
  info.audio_columns = manifest.grids.audio.width;
  info.audio_rows = manifest.grids.audio.height;
  info.image_codebook_size = manifest.grids.image.codebook_size;
  info.audio_codebook_size = manifest.grids.audio.codebook_size;
  info.can_make_images =
      manifest.has_graph("decode_image_step") && manifest.has_graph("image_decoder");
  info.can_read_audio = manifest.has_graph("log_mel") && manifest.has_graph("mel_encoder");
  return info;
}

}  // namespace
}  // namespace echoes

using namespace echoes;

extern "C" {

const char *echoes_version(void) { return ECHOES_VERSION; }

const char *echoes_last_error(void) { return last_error(); }

echoes_status echoes_model_create(const char *bundle_path, const echoes_model_options *options,
                                  echoes_model **model) {
  return guarded([&] {
    not_null(model, "model");
    *model = nullptr;
    not_null(bundle_path, "bundle_path");
    echoes_model_options known{};
    if (options != nullptr) read_struct(options, &known, sizeof known, "the model options");
    if (known.threads < 0 || known.threads > 1024) {
      throw InputError("threads must be in [0, 1024], got ", known.threads);
    }
    Bundle bundle = open_bundle(bundle_path);
    auto library = OrtLibrary::open(known.onnxruntime_path ? known.onnxruntime_path : "");
    Device device = choose_device(std::move(library), known.device ? known.device : "auto",
                                  known.threads);
    *model = new echoes_model(std::move(bundle), std::move(device));
  });
}

void echoes_model_destroy(echoes_model *model) { delete model; }

echoes_status echoes_model_get_info(const echoes_model *model, echoes_model_info *info) {
  return guarded([&] {
    const echoes_model_info known = info_of(not_null(model, "model"));
    write_struct(&known, sizeof known, &not_null(info, "info"), "the model info");
  });
}

echoes_status echoes_generate_options_init(const echoes_model *model,
                                           echoes_generate_options *options) {
  return guarded([&] {
    const Options &known = not_null(model, "model").manifest().options;
    write_struct(&known, sizeof known, &not_null(options, "options"), "the generate options");
  });
}

}  // extern "C"

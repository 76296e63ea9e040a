// libFuzzer's target: no text makes the manifest's reader do anything but give or throw.
#include <cstddef>
#include <cstdint>

#include "errors.h"
#include "manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  try {
    const echoes::Manifest manifest =
        echoes::parse_manifest({reinterpret_cast<const char *>(data), size});
    manifest.files();
  } catch (const echoes::ManifestError &) {
  }
  return 0;
}

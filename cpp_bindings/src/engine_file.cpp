#include "engine_file.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

#include "errors.h"
#include "json_fields.h"
#include "sha256.h"

namespace echoes {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRecordSchema = 1;
constexpr char kRebuild[] = "; build it again with echoes-export engine --backend tensorrt";

std::string text_of(const Field &field) {
  return field.string([](const std::string &) { return true; }, "a string");
}

// null is the empty string.
std::string text_or_empty(const Field &field) {
  return field.shown() == "null" ? std::string() : text_of(field);
}

// Releases are compared as far as both are written: 10.3.0 by a Jetson's
// Python, 10.3.0.30 by the library.
bool is_same_release(const std::string &a, const std::string &b) {
  const auto &[shorter, longer] = std::minmax(
      a, b, [](const std::string &x, const std::string &y) { return x.size() < y.size(); });
  return longer.compare(0, shorter.size(), shorter) == 0 &&
         (longer.size() == shorter.size() || longer[shorter.size()] == '.');
}

}  // namespace

EngineFile read_engine_file(const fs::path &engine) {
  fs::path path = engine;
  path += ".json";
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  if (!stream) throw BackendError(sentence(path.u8string(), " cannot be read", kRebuild));
  try {
    const JsonDocument document(text.str());
    const Object record = document.root().object();
    if (record["schema"].integer(0, std::numeric_limits<int32_t>::max()) != kRecordSchema) {
      throw BackendError(
          sentence("engine ", engine.u8string(), " was built by another version of echoes-rt",
                                  kRebuild));
    }
    EngineFile file;
    file.key.graph = text_of(record["graph"]);
    file.key.flavour = text_of(record["flavour"]);
    file.key.version = text_of(record["version"]);
    file.key.precision = text_of(record["precision"]);
    file.key.model_sha256 = text_of(record["model_sha256"]);
    file.key.driver = text_or_empty(record["driver"]);
    file.key.l4t = text_or_empty(record["l4t"]);
    file.key.sm = record["sm"].integer(1, 10000);
    file.engine_sha256 = text_of(record["engine_sha256"]);
    return file;
  } catch (const ManifestError &) {
    throw BackendError(sentence(path.u8string(), " is no record of an engine", kRebuild));
  }
}

void check_engine(const fs::path &engine, const EngineFile &file, const EngineKey &wanted) {
  const EngineKey &key = file.key;
  const auto refuse = [&](const std::string &said) {
    throw BackendError(sentence("engine ", engine.u8string(), " ", said, kRebuild));
  };
  if (key.model_sha256 != wanted.model_sha256) refuse("was built from another bundle");
  if (key.flavour != wanted.flavour) {
    refuse(sentence("is of ", key.flavour, ", and ", wanted.flavour, " runs here"));
  }
  if (!is_same_release(key.version, wanted.version)) {
    refuse(sentence("was built by version ", key.version, ", and version ", wanted.version,
                    " runs here"));
  }
  if (key.sm != wanted.sm) {
    refuse(sentence("was built for sm_", key.sm, ", and this is sm_", wanted.sm));
  }
  if (!key.driver.empty() && key.driver != wanted.driver) {
    refuse(sentence("was built with driver ", key.driver, ", and driver ", wanted.driver,
                    " runs here"));
  }
  if (!key.l4t.empty() && key.l4t != wanted.l4t) {
    refuse(sentence("was built on Jetson Linux ", key.l4t, ", and this is ", wanted.l4t));
  }
  if (sha256_of_file(engine) != file.engine_sha256) refuse("is damaged: its sha256 is another");
}

std::string model_sha256(const Manifest &manifest) {
  std::vector<std::string> lines;
  for (const auto &[name, file] : manifest.files()) {
    lines.push_back(sentence(file.sha256, "  ", file.file, "\n"));
  }
  std::sort(lines.begin(), lines.end());
  Sha256 digest;
  for (const std::string &line : lines) digest.update(line.data(), line.size());
  return digest.hex_digest();
}

}  // namespace echoes

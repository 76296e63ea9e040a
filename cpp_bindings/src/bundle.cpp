#include "bundle.h"

#include <fstream>

#include "errors.h"
#include "sha256.h"

namespace echoes {
namespace {

namespace fs = std::filesystem;

std::string read_manifest(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxManifestBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof() && file.fail()) {
    throw ManifestError(sentence(path.u8string(), ": cannot be read"));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxManifestBytes) {
    throw ManifestError(
        sentence(path.u8string(), ": is larger than the ", kMaxManifestBytes, " bytes allowed"));
  }
  return text;
}

bool is_inside(const fs::path &path, const fs::path &root) {
  const fs::path relative = fs::canonical(path).lexically_relative(root);
  return !relative.empty() && *relative.begin() != "..";
}

void verify(const fs::path &folder, const DataFile &file) {
  const fs::path path = folder / fs::u8path(file.file);
  const std::string where = folder.u8string();
  if (!fs::is_regular_file(path)) {
    throw BundleError(
        sentence("bundle ", where, " lacks the file ", file.file, "; get the bundle again"));
  }
  if (!is_inside(path, fs::canonical(folder))) {
    throw BundleError(
        sentence("file ", file.file, " of bundle ", where, " is a link that leaves it"));
  }
  const uintmax_t size = fs::file_size(path);
  if (size != static_cast<uintmax_t>(file.size_bytes)) {
    throw BundleError(sentence("file ", file.file, " of bundle ", where, " has ", size,
                               " bytes, the manifest says ", file.size_bytes,
                               "; get the bundle again"));
  }
  const std::string digest = sha256_of_file(path);
  if (digest != file.sha256) {
    throw BundleError(sentence("file ", file.file, " of bundle ", where, " has the checksum ",
                               digest.substr(0, 12), "..., the manifest says ",
                               file.sha256.substr(0, 12), "...; get the bundle again"));
  }
}

Bundle open_folder(const fs::path &folder) {
  if (!fs::exists(folder)) {
    throw BundleError(
        sentence("no bundle at ", folder.u8string(), ": expected a folder with a ", kManifestName));
  }
  if (!fs::is_directory(folder)) {
    throw BundleError(sentence(folder.u8string(), " is not a bundle: expected a folder; unpack it ",
                               "if it is a .zip"));
  }
  const fs::path path = folder / kManifestName;
  if (!fs::is_regular_file(path)) {
    throw BundleError(sentence(folder.u8string(), " is not a bundle: it has no ", kManifestName));
  }
  Bundle bundle{folder, {}};
  const std::string text = read_manifest(path);
  try {
    bundle.manifest = parse_manifest(text);
  } catch (const ManifestError &error) {
    throw ManifestError(sentence(path.u8string(), ": ", error.what()));
  }
  for (const auto &[name, file] : bundle.manifest.files()) verify(folder, file);
  return bundle;
}

}  // namespace

const GraphEntry &Bundle::graph(const std::string &name) const {
  const auto found = manifest.graphs.find(name);
  if (found == manifest.graphs.end()) {
    std::string names;
    for (const auto &[other, entry] : manifest.graphs) {
      names += (names.empty() ? "" : ", ") + other;
    }
    throw BundleError(
        sentence("bundle ", manifest.name, " has no graph '", name, "'; it has ", names));
  }
  return found->second;
}

fs::path Bundle::graph_path(const std::string &name) const {
  return folder / fs::u8path(graph(name).file.file);
}

Bundle open_bundle(const std::string &path) {
  try {
    return open_folder(fs::u8path(path));
  } catch (const fs::filesystem_error &error) {
    throw BundleError(sentence("bundle ", path, " cannot be read: ", error.code().message()));
  }
}

}  // namespace echoes

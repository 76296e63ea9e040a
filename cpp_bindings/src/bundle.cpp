#include "bundle.h"

#include <fstream>
#include <set>

#include "errors.h"

namespace echoes {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxGraphBytes = int64_t{1} << 31;

std::string read_manifest(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxManifestBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof() && file.fail()) {
    throw ManifestError(path.u8string(), ": cannot be read");
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxManifestBytes) {
    throw ManifestError(path.u8string(), ": is larger than the ", kMaxManifestBytes, " bytes ",
                        "allowed");
  }
  return text;
}

void compare(const fs::path &folder, const DataFile &file, const std::string &digest) {
  if (digest == file.sha256) return;
  throw BundleError("file ", file.file, " of bundle ", folder.u8string(), " has the checksum ",
                    digest.substr(0, 12), "..., the manifest says ", file.sha256.substr(0, 12),
                    "...; get the bundle again");
}

std::string read_all(const fs::path &path, size_t size) {
  std::ifstream file(path, std::ios::binary);
  std::string data(size, '\0');
  if (!file.read(data.data(), static_cast<std::streamsize>(size))) {
    throw BundleError(path.u8string(), " cannot be read");
  }
  return data;
}

// Its checksum, and that ONNX Runtime will read no other file of the machine for it.
void verify_graph(const fs::path &folder, const DataFile &file,
                  const std::map<std::string, DataFile> &listed) {
  const std::string where = folder.u8string();
  if (file.size_bytes > kMaxGraphBytes) {
    throw BundleError("graph ", file.file, " of bundle ", where, " has ", file.size_bytes,
                      " bytes, ONNX allows ", kMaxGraphBytes, "; move its weights to a file of ",
                      "their own");
  }
  const std::string data =
      read_all(folder / fs::u8path(file.file), static_cast<size_t>(file.size_bytes));
  Sha256 digest;
  digest.update(data.data(), data.size());
  compare(folder, file, digest.hex_digest());
  std::set<std::string> locations;
  try {
    locations = external_locations(data);
  } catch (const BundleError &error) {
    throw BundleError(file.file, " of bundle ", where, " is no ONNX graph: ", error.what());
  }
  const std::string beside = file.file.substr(0, file.file.rfind('/') + 1);
  for (const std::string &location : locations) {
    if (listed.count(beside + location) > 0) continue;
    throw BundleError("graph ", file.file, " of bundle ", where, " reads the file '", location,
                      "', which the manifest does not list; do not use this bundle");
  }
}

void verify(const fs::path &folder, const Manifest &manifest) {
  std::set<std::string> graphs;
  for (const auto &[name, entry] : manifest.graphs) graphs.insert(entry.file.file);
  const std::map<std::string, DataFile> files = manifest.files();
  for (const auto &[name, file] : files) {
    const fs::path path = folder / fs::u8path(name);
    const std::string where = folder.u8string();
    if (!fs::is_regular_file(path)) {
      throw BundleError("bundle ", where, " lacks the file ", name, "; get the bundle again");
    }
    const uintmax_t size = fs::file_size(path);
    if (size != static_cast<uintmax_t>(file.size_bytes)) {
      throw BundleError("file ", name, " of bundle ", where, " has ", size, " bytes, the ",
                        "manifest says ", file.size_bytes, "; get the bundle again");
    }
    if (graphs.count(name) > 0) {
      verify_graph(folder, file, files);
    } else {
      compare(folder, file, sha256_of_file(path));
    }
  }
}

Bundle open_folder(const fs::path &folder) {
  if (!fs::exists(folder)) {
    throw BundleError("no bundle at ", folder.u8string(), ": expected a folder with a ",
                      kManifestName);
  }
  if (!fs::is_directory(folder)) {
    throw BundleError(folder.u8string(), " is not a bundle: expected a folder; unpack it if it ",
                      "is a .zip");
  }
  const fs::path path = folder / kManifestName;
  if (!fs::is_regular_file(path)) {
    throw BundleError(folder.u8string(), " is not a bundle: it has no ", kManifestName);
  }
  Bundle bundle{folder, {}};
  const std::string text = read_manifest(path);
  try {
    bundle.manifest = parse_manifest(text);
  } catch (const ManifestError &error) {
    throw ManifestError(path.u8string(), ": ", error.what());
  }
  verify(folder, bundle.manifest);
  return bundle;
}

}  // namespace

fs::path Bundle::graph_path(const std::string &name) const {
  const auto found = manifest.graphs.find(name);
  if (found == manifest.graphs.end()) {
    std::string names;
    for (const auto &[other, entry] : manifest.graphs) {
      names += (names.empty() ? "" : ", ") + other;
    }
    throw BundleError("bundle ", manifest.name, " has no graph '", name, "'; it has ", names);
  }
  const DataFile &file = found->second.file;
  fs::path path = folder / fs::u8path(file.file);
  compare(folder, file, sha256_of_file(path));  // it may be loaded long after it was verified
  return path;
}

Bundle open_bundle(const std::string &path) {
  try {
    return open_folder(fs::u8path(path));
  } catch (const fs::filesystem_error &error) {
    throw BundleError("bundle ", path, " cannot be read: ", error.code().message());
  }
}

}  // namespace echoes

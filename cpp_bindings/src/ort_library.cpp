#include "ort_library.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <stdexcept>
#include <vector>

#ifdef _WIN32
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "errors.h"

namespace echoes {
namespace {

namespace fs = std::filesystem;

constexpr char kPathVariable[] = "ECHOES_RT_ORT";

// ONNX Runtime 1.29 and newer sends usage data to Microsoft unless this is set before it is loaded.
constexpr char kTelemetryVariable[] = "ORT_DISABLE_TELEMETRY";

// The first release that runs the opsets of our graphs.
constexpr uint32_t kOldestApi = 17;

#if defined(_WIN32)
constexpr const char *kFileNames[] = {"onnxruntime.dll"};
#elif defined(__APPLE__)
constexpr const char *kFileNames[] = {"libonnxruntime.dylib"};
#else
constexpr const char *kFileNames[] = {"libonnxruntime.so", "libonnxruntime.so.1"};
#endif

void ignore_message(void *, OrtLoggingLevel, const char *, const char *, const char *,
                    const char *) {}

// A library stays open for ever: ONNX Runtime's threads do not outlive being unloaded. A bare file
// name is looked for as the system does. Throws std::runtime_error with the system's reason.
void *open_library(const fs::path &path) {
#ifdef _WIN32
  // The folder of a library that is named in full is where its own libraries lie.
  const DWORD flags = path.is_absolute() ? LOAD_WITH_ALTERED_SEARCH_PATH : 0;
  void *const library = LoadLibraryExW(path.c_str(), nullptr, flags);
  if (library == nullptr) {
    throw std::runtime_error("Windows error " + std::to_string(GetLastError()));
  }
#else
  void *const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char *reason = dlerror();
    throw std::runtime_error(reason != nullptr ? reason : "no reason given");
  }
#endif
  return library;
}

// Null if there is no such function.
void *find_function(void *library, const char *name) {
#ifdef _WIN32
  return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(library), name));
#else
  return dlsym(library, name);
#endif
}

// The folder of the library (or program) that this code is in; empty if the system does not say.
fs::path own_folder() {
#ifdef _WIN32
  HMODULE self = nullptr;
  wchar_t path[4096];
  if (!GetModuleHandleExW(
          GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
          reinterpret_cast<LPCWSTR>(&own_folder), &self)) {
    return {};
  }
  const DWORD length = GetModuleFileNameW(self, path, 4096);
  return length > 0 && length < 4096 ? fs::path(path).parent_path() : fs::path();
#else
  Dl_info info;
  if (dladdr(reinterpret_cast<const void *>(&own_folder), &info) == 0) return {};
  std::error_code ignored;
  return fs::absolute(info.dli_fname, ignored).parent_path();
#endif
}

// A library in a folder: by its plain name, or with a version in it as in Python's packages.
fs::path find_in(const fs::path &folder) {
  std::error_code ignored;
  for (const char *name : kFileNames) {
    if (fs::exists(folder / name, ignored)) return folder / name;
  }
  fs::path newest;
  for (const fs::directory_entry &entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().u8string();
    const bool is_versioned =
        name.rfind("libonnxruntime.so.", 0) == 0 ||
        (name.rfind("libonnxruntime.", 0) == 0 && entry.path().extension() == ".dylib");
    if (is_versioned) newest = std::max(newest, entry.path());
  }
  return newest;
}

// A named place, or an empty path if it does not name one.
fs::path named_library(const std::string &place, const std::string &origin) {
  if (place.empty()) return {};
  const fs::path path = fs::u8path(place);
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  const fs::path found = find_in(path);
  if (found.empty()) {
    throw BackendError("no ONNX Runtime in the folder ", place, " (from ", origin, "); give the ",
                       "path of ", kFileNames[0]);
  }
  return found;
}

std::vector<fs::path> candidates(const std::string &given) {
  fs::path path = named_library(given, "onnxruntime_path");
  if (!path.empty()) return {path};
  const char *variable = std::getenv(kPathVariable);
  path = named_library(variable != nullptr ? variable : "", kPathVariable);
  if (!path.empty()) return {path};
  std::vector<fs::path> paths;
  path = find_in(own_folder());
  if (!path.empty()) paths.push_back(path);
  paths.insert(paths.end(), std::begin(kFileNames), std::end(kFileNames));
  return paths;
}

// Gives whether telemetry is off; a variable that is set already is the user's own word.
bool disable_telemetry() {
  if (std::getenv(kTelemetryVariable) == nullptr) {
#if defined(_WIN32)
    _putenv_s(kTelemetryVariable, "1");
#else
    setenv(kTelemetryVariable, "1", 0);
#endif
  }
  const char *set = std::getenv(kTelemetryVariable);
  return set != nullptr && std::string(set) == "1";
}

void *open_first(const std::vector<fs::path> &paths) {
  std::string reasons;
  for (const fs::path &path : paths) {
    try {
      return open_library(path);
    } catch (const std::runtime_error &error) {
      reasons += (reasons.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  throw BackendError("no ONNX Runtime found; set ", kPathVariable, " to the path of ",
                     kFileNames[0], " (", reasons, ")");
}

}  // namespace

std::shared_ptr<const OrtLibrary> OrtLibrary::open(const std::string &path) {
  static std::mutex mutex;
  // By what was asked for: the environment variable may change between two models.
  static auto &opened = *new std::map<std::string, std::shared_ptr<const OrtLibrary>>;
  const char *variable = std::getenv(kPathVariable);
  const std::string key = !path.empty() ? path : variable != nullptr ? variable : "";
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<const OrtLibrary> &library = opened[key];
  if (library == nullptr) library.reset(new OrtLibrary(path));
  return library;
}

OrtLibrary::OrtLibrary(const std::string &path) {
  const bool is_private = disable_telemetry();
  void *const library = open_first(candidates(path));
  using GetApiBase = const OrtApiBase *(ORT_API_CALL *)();
  const auto get_base = reinterpret_cast<GetApiBase>(find_function(library, "OrtGetApiBase"));
  if (get_base == nullptr || get_base() == nullptr) {
    throw BackendError("the library that was opened is not ONNX Runtime: it has no OrtGetApiBase");
  }
  version_ = get_base()->GetVersionString();
  // Structs of the API only grow at their end, so an older one is a part of a newer one. Release
  // 1.n has the API n, and prints a complaint when it is asked for more.
  const uint32_t newest = std::min<uint32_t>(release(), ORT_API_VERSION);
  for (uint32_t number = newest; number >= kOldestApi && api_ == nullptr; --number) {
    api_ = get_base()->GetApi(number);
  }
  if (api_ == nullptr) {
    throw BackendError("ONNX Runtime ", version_, " is too old: 1.", kOldestApi, " or newer is ",
                       "needed");
  }
  // Errors reach the caller as statuses; in a log they would only say the same again.
  const std::string failure = sentence("ONNX Runtime ", version_, " does not start");
  check(api_->CreateEnvWithCustomLogger(ignore_message, nullptr, ORT_LOGGING_LEVEL_FATAL,
                                        "echoes_rt", &environment_),
        failure);
  // The program may have loaded it before us, with telemetry; this ends most of it.
  if (is_private) check(api_->DisableTelemetryEvents(environment_), failure);
}

uint32_t OrtLibrary::release() const {
  if (version_.rfind("1.", 0) != 0) return 0;
  return static_cast<uint32_t>(std::strtoul(version_.c_str() + 2, nullptr, 10));
}

void OrtLibrary::check(OrtStatus *status, const std::string &what) const {
  if (status == nullptr) return;
  std::string reason = api_->GetErrorMessage(status);
  api_->ReleaseStatus(status);
  const size_t start = std::min(reason.find_first_not_of(" \n\r\t"), reason.size());
  reason = reason.substr(start, reason.find('\n', start) - start);
  throw BackendError(what, ": ", reason);
}

}  // namespace echoes

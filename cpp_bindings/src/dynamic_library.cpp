#include "ort_library.h"

#include <stdexcept>

#ifdef _WIN32
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace echoes {

namespace fs = std::filesystem;

#ifdef _WIN32

DynamicLibrary::DynamicLibrary(const fs::path &path)
    // The folder of a library that is named in full is where its own libraries lie.
    : handle_(LoadLibraryExW(path.c_str(), nullptr,
                             path.is_absolute() ? LOAD_WITH_ALTERED_SEARCH_PATH : 0)) {
  if (handle_ == nullptr) {
    throw std::runtime_error("Windows error " + std::to_string(GetLastError()));
  }
}

void *DynamicLibrary::find(const char *name) const {
  return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(handle_), name));
}

fs::path own_folder() {
  HMODULE self = nullptr;
  wchar_t path[4096];
  if (!GetModuleHandleExW(
          GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
          reinterpret_cast<LPCWSTR>(&own_folder), &self)) {
    return {};
  }
  const DWORD length = GetModuleFileNameW(self, path, 4096);
  return length > 0 && length < 4096 ? fs::path(path).parent_path() : fs::path();
}

#else

DynamicLibrary::DynamicLibrary(const fs::path &path)
    : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) {
    const char *reason = dlerror();
    throw std::runtime_error(reason != nullptr ? reason : "no reason given");
  }
}

void *DynamicLibrary::find(const char *name) const { return dlsym(handle_, name); }

fs::path own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void *>(&own_folder), &info) == 0) return {};
  std::error_code ignored;
  return fs::absolute(info.dli_fname, ignored).parent_path();
}

#endif

}  // namespace echoes

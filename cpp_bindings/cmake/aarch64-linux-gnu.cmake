# Debian's cross compiler (g++-aarch64-linux-gnu), and qemu-user to run what it makes.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)

get_property(is_trying GLOBAL PROPERTY IN_TRY_COMPILE)
if(NOT is_trying)
  # ONNX Runtime reads /proc/cpuinfo, which qemu-user before 8.1 shows as the host has it: an x86
  # one makes it crash.
  set(sysroot "${CMAKE_BINARY_DIR}/qemu-sysroot")
  file(CONFIGURE OUTPUT "${sysroot}/proc/cpuinfo" @ONLY CONTENT [[
processor	: 0
BogoMIPS	: 100.00
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x4
CPU part	: 0xd0b
CPU revision	: 1
]])
  file(CREATE_LINK /usr/aarch64-linux-gnu/lib "${sysroot}/lib" SYMBOLIC)
  set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu cortex-a76 -L "${sysroot}")
endif()

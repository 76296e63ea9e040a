/* CUDA's runtime on host memory, for tests with the real CUDA provider of ONNX Runtime: memory is
 * memory, kernels do nothing, a recorded graph counts its launches. What a copy is given must lie
 * where it says, and nothing may wait while a graph is recorded: fake_mistakes counts what did not
 * hold. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cuda_runtime_api.h>
#undef cudaGetDeviceProperties

/* What tests read and set. */
int fake_launches, fake_to_device, fake_to_host, fake_recorded, fake_replayed, fake_mistakes;
int fake_refuses_recording;
int fake_gives_zeroes; /* whatever a kernel would have computed */
int fake_number;       /* then what a copy of four bytes gives instead */

static __thread int is_recording;
static intptr_t last_graph = 0x1000;

/* The device's memory. */
#define MAX_BLOCKS 65536
static struct { char *start; size_t size; } blocks[MAX_BLOCKS];
static int block_of(const void *at) {
    const char *p = at;
    for (int i = 0; i < MAX_BLOCKS; i++)
        if (blocks[i].start && p >= blocks[i].start && p < blocks[i].start + blocks[i].size) return i;
    return -1;
}

cudaError_t cudaMalloc(void **made, size_t size) {
    int i = 0;
    while (i < MAX_BLOCKS && blocks[i].start) i++;
    if (i == MAX_BLOCKS) return cudaErrorMemoryAllocation;
    blocks[i].size = size ? size : 1;
    blocks[i].start = *made = aligned_alloc(512, (size + 1023) / 512 * 512);
    memset(*made, 0, size);
    return cudaSuccess;
}
cudaError_t cudaFree(void *pointer) {
    int i = block_of(pointer);
    if (i >= 0) blocks[i].start = 0;
    return free(pointer), cudaSuccess;
}
cudaError_t cudaMallocFromPoolAsync(void **made, size_t size, cudaMemPool_t p, cudaStream_t s) {
    return (void)p, (void)s, cudaMalloc(made, size);
}
cudaError_t cudaFreeAsync(void *pointer, cudaStream_t s) { return (void)s, cudaFree(pointer); }
cudaError_t cudaHostAlloc(void **made, size_t size, unsigned flags) {
    return (void)flags, *made = calloc(1, size + 64), cudaSuccess;
}
cudaError_t cudaMallocHost(void **made, size_t size) { return cudaHostAlloc(made, size, 0); }
cudaError_t cudaFreeHost(void *pointer) { return free(pointer), cudaSuccess; }

static cudaError_t copy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, int waits) {
    int to_device = block_of(to) >= 0, from_device = block_of(from) >= 0;
    if (kind == cudaMemcpyHostToDevice) {
        fake_to_device++;
        fake_mistakes += size && (!to_device || from_device);
    } else if (kind == cudaMemcpyDeviceToHost) {
        fake_to_host++;
        fake_mistakes += size && (to_device || !from_device);
        if (fake_gives_zeroes) {
            memset(to, 0, size);
            if (size == sizeof fake_number) memcpy(to, &fake_number, size);
            return cudaSuccess;
        }
    }
    fake_mistakes += waits && is_recording;
    return memcpy(to, from, size), cudaSuccess;
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) {
    return copy(to, from, size, kind, 1);
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind,
                            cudaStream_t s) {
    return (void)s, copy(to, from, size, kind, 0);
}
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind, cudaStream_t s) {
    for (size_t i = 0; i < height; i++)
        cudaMemcpyAsync((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width, kind, s);
    return cudaSuccess;
}
cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t size, size_t offset,
                                 enum cudaMemcpyKind kind) {
    return (void)symbol, (void)offset, (void)kind, memset(to, 0, size), cudaSuccess;
}
cudaError_t cudaMemset(void *to, int value, size_t size) {
    return memset(to, value, size), cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t size, cudaStream_t s) {
    return (void)s, cudaMemset(to, value, size);
}

/* Kernels. */
static __thread struct { dim3 grid, block; size_t shared; void *stream; } launch;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream) {
    launch.grid = grid, launch.block = block, launch.shared = shared, launch.stream = stream;
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
    *grid = launch.grid, *block = launch.block, *shared = launch.shared;
    return *(void **)stream = launch.stream, cudaSuccess;
}
static cudaError_t launched(dim3 grid, dim3 block) {
    fake_launches++;
    if (grid.x && grid.y && grid.z && block.x && block.y && block.z) return cudaSuccess;
    return fake_mistakes++, cudaErrorInvalidConfiguration;
}
#define KERNEL_ARGUMENTS dim3 grid, dim3 block, void **a, size_t shared, cudaStream_t s
cudaError_t __cudaLaunchKernel(cudaKernel_t k, KERNEL_ARGUMENTS) {
    return (void)k, (void)a, (void)shared, (void)s, launched(grid, block);
}
cudaError_t cudaLaunchKernel(const void *k, KERNEL_ARGUMENTS) {
    return (void)k, (void)a, (void)shared, (void)s, launched(grid, block);
}
cudaError_t cudaLaunchCooperativeKernel(const void *k, KERNEL_ARGUMENTS) {
    return (void)k, (void)a, (void)shared, (void)s, launched(grid, block);
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *c, const void *k, void **a) {
    return (void)k, (void)a, launched(c->gridDim, c->blockDim);
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t function, void *data) {
    return (void)s, function(data), cudaSuccess;
}

/* Recording. */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode) {
    (void)s, (void)mode;
    if (fake_refuses_recording) return cudaErrorStreamCaptureUnsupported;
    return is_recording = 1, cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *made) {
    return (void)s, is_recording = 0, fake_recorded++, *made = (cudaGraph_t)last_graph++, cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status) {
    (void)s;
    *status = is_recording ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long f) {
    return (void)f, *made = (cudaGraphExec_t)graph, cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s) {
    return (void)graph, (void)s, fake_replayed++, cudaSuccess;
}
cudaError_t cudaDeviceSynchronize(void) { return fake_mistakes += is_recording, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
    return (void)s, fake_mistakes += is_recording, cudaSuccess;
}

/* An H100. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *of, int device) {
    (void)device;
    memset(of, 0, sizeof *of);
    strcpy(of->name, "Stand-in");
    of->totalGlobalMem = (size_t)80 << 30;
    of->sharedMemPerBlock = 49152;
    of->sharedMemPerBlockOptin = 232448;
    of->sharedMemPerMultiprocessor = 233472;
    of->regsPerBlock = of->regsPerMultiprocessor = of->totalConstMem = 65536;
    of->warpSize = 32;
    of->maxThreadsPerBlock = of->maxThreadsDim[0] = of->maxThreadsDim[1] = 1024;
    of->maxThreadsDim[2] = 64;
    of->maxGridSize[0] = 2147483647;
    of->maxGridSize[1] = of->maxGridSize[2] = 65535;
    of->major = 9;
    of->multiProcessorCount = 132;
    of->l2CacheSize = 50 << 20;
    of->maxThreadsPerMultiProcessor = 2048;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    (void)device;
    switch ((int)attribute) {
    case cudaDevAttrMultiProcessorCount: *value = 132; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 232448; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 2048; break;
    default: *value = 1;
    }
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDevice(int *device) { return *device = 0, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device ? cudaErrorInvalidDevice : cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t *left, size_t *all) {
    return *left = (size_t)70 << 30, *all = (size_t)80 << 30, cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *of, const void *pointer) {
    memset(of, 0, sizeof *of);
    of->type = block_of(pointer) >= 0 ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
    of->devicePointer = of->hostPointer = (void *)pointer;
    return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *of, const void *k) {
    (void)k;
    memset(of, 0, sizeof *of);
    of->maxThreadsPerBlock = 1024, of->binaryVersion = of->ptxVersion = 90, of->numRegs = 64;
    return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, const void *k, int block,
                                                                   size_t shared, unsigned f) {
    return (void)k, (void)block, (void)shared, (void)f, *n = 2, cudaSuccess;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **found, unsigned version,
                                             unsigned long long f,
                                             enum cudaDriverEntryPointQueryResult *result) {
    (void)version, (void)f;
    *found = dlsym(RTLD_DEFAULT, name);
    if (result)
        *result = *found ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t p, enum cudaMemPoolAttr a, void *value) {
    return (void)p, (void)a, *(uint64_t *)value = 0, cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) {
    return (void)a, (void)b, *ms = 1, cudaSuccess;
}
const char *cudaGetErrorName(cudaError_t e) { return e ? "an error" : "no error"; }
const char *cudaGetErrorString(cudaError_t e) { return cudaGetErrorName(e); }

/* What is of no consequence here; the test writes the rest. */
void **__cudaRegisterFatBinary(void *p) { static void *handle; return (void)p, &handle; }
cudaError_t __cudaGetKernel(cudaKernel_t *made, const void *k) {
    return *made = (cudaKernel_t)k, cudaSuccess;
}

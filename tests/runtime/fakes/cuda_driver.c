/* A GPU's driver on host memory, for tests: device memory is memory, a stream runs at once, and a
 * captured graph remembers the copies and the callbacks that were put into its stream.
 *
 * With the CUDA toolkit's cuda.h the compiler holds every signature to NVIDIA's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_CUDA_H
#include <cuda.h>
#undef cuEventElapsedTime /* drivers before CUDA 12.8 lack its _v2 */
#else
typedef int CUresult, CUdevice, CUdevice_attribute, CUstreamCaptureMode;
typedef unsigned long long CUdeviceptr;
typedef struct fake *CUcontext, *CUstream, *CUevent, *CUgraph, *CUgraphExec;
#define CUDAAPI
#define CUDA_SUCCESS 0
#define CUDA_ERROR_INVALID_VALUE 1
#define CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED 900
#define cuDeviceTotalMem cuDeviceTotalMem_v2
#define cuMemGetInfo cuMemGetInfo_v2
#define cuMemAlloc cuMemAlloc_v2
#define cuMemFree cuMemFree_v2
#define cuMemHostGetDevicePointer cuMemHostGetDevicePointer_v2
#define cuMemcpyHtoDAsync cuMemcpyHtoDAsync_v2
#define cuMemcpyDtoHAsync cuMemcpyDtoHAsync_v2
#define cuStreamDestroy cuStreamDestroy_v2
#define cuStreamBeginCapture cuStreamBeginCapture_v2
#define cuEventDestroy cuEventDestroy_v2
#endif

#define STREAM ((CUstream)0x57)
#define MAX_OPERATIONS 64

typedef void (*Kernel)(void);
typedef struct {
    void *to;
    const void *from;
    size_t size;
    Kernel kernel;
} Operation;

static Operation operations[MAX_OPERATIONS];
static int n_operations, is_capturing, event_count;

/* What tests set and read. */
int fake_integrated, fake_devices = 1, fake_sm = 89, fake_init_error, fake_refuses_capture;
int fake_launches, fake_copies, fake_allocations;

static CUresult put(Operation operation) {
    if (is_capturing) {
        if (fake_refuses_capture || n_operations == MAX_OPERATIONS)
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        operations[n_operations++] = operation;
        return CUDA_SUCCESS;
    }
    if (operation.kernel) {
        operation.kernel();
    } else {
        memcpy(operation.to, operation.from, operation.size);
        fake_copies++;
    }
    return CUDA_SUCCESS;
}

/* Stands for what an engine puts into a stream. */
int fake_enqueue(Kernel kernel) { return put((Operation){0, 0, 0, kernel}); }

CUresult CUDAAPI cuInit(unsigned int flags) { return flags ? 1 : (CUresult)fake_init_error; }
CUresult CUDAAPI cuDriverGetVersion(int *version) { return *version = 13020, CUDA_SUCCESS; }
CUresult CUDAAPI cuDeviceGetCount(int *count) { return *count = fake_devices, CUDA_SUCCESS; }
CUresult CUDAAPI cuDeviceGet(CUdevice *device, int ordinal) {
    return *device = ordinal, CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGetName(char *name, int size, CUdevice device) {
    return snprintf(name, (size_t)size, "Fake GPU %d", device), CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceTotalMem(size_t *size, CUdevice device) {
    return (void)device, *size = 8000000000u, CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    (void)device;
    switch ((int)attribute) {
    case 13: *value = 1500000; break; /* clock in kHz */
    case 16: *value = 4; break;       /* multiprocessors */
    case 18: *value = fake_integrated; break;
    case 75: *value = fake_sm / 10; break;
    case 76: *value = fake_sm % 10; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    return (void)device, *context = (CUcontext)0x42, CUDA_SUCCESS;
}
CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) {
    return context == (CUcontext)0x42 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuMemGetInfo(size_t *free_bytes, size_t *total) {
    return *free_bytes = 6000000000u, *total = 8000000000u, CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemAlloc(CUdeviceptr *address, size_t size) {
    fake_allocations++;
    return *address = (CUdeviceptr)(uintptr_t)calloc(1, size), CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemFree(CUdeviceptr address) {
    fake_allocations--;
    return free((void *)(uintptr_t)address), CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemHostAlloc(void **pointer, size_t size, unsigned int flags) {
    /* 2: mapped, without which there is no device pointer. */
    if (flags != (fake_integrated ? 2u : 0u)) return CUDA_ERROR_INVALID_VALUE;
    fake_allocations++;
    return *pointer = calloc(1, size), CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemFreeHost(void *pointer) {
    fake_allocations--;
    return free(pointer), CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemHostGetDevicePointer(CUdeviceptr *address, void *pointer, unsigned int f) {
    return (void)f, *address = (CUdeviceptr)(uintptr_t)pointer, CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t size, CUstream s) {
    if (s != STREAM) return CUDA_ERROR_INVALID_VALUE;
    return put((Operation){(void *)(uintptr_t)to, from, size, 0});
}
CUresult CUDAAPI cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t size, CUstream s) {
    if (s != STREAM) return CUDA_ERROR_INVALID_VALUE;
    return put((Operation){to, (void *)(uintptr_t)from, size, 0});
}
CUresult CUDAAPI cuStreamCreate(CUstream *stream, unsigned int flags) {
    return *stream = STREAM, flags == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuStreamSynchronize(CUstream stream) {
    return stream == STREAM && !is_capturing ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuStreamDestroy(CUstream stream) { return (void)stream, CUDA_SUCCESS; }
CUresult CUDAAPI cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    is_capturing = 1;
    n_operations = 0;
    return stream == STREAM && (int)mode == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    if (stream != STREAM || !is_capturing) return CUDA_ERROR_INVALID_VALUE;
    is_capturing = 0;
    Operation *copy = calloc(MAX_OPERATIONS + 1, sizeof *copy);
    memcpy(copy, operations, sizeof operations);
    copy[MAX_OPERATIONS].size = (size_t)n_operations;
    return *graph = (CUgraph)copy, CUDA_SUCCESS;
}
/* The executable takes the operations over; the graph may be destroyed at once, as it is. */
CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph,
                                             unsigned long long f) {
    return (void)f, *executable = (CUgraphExec)graph, CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphDestroy(CUgraph graph) { return (void)graph, CUDA_SUCCESS; }
CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec e) { return free((void *)e), CUDA_SUCCESS; }
CUresult CUDAAPI cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    if (stream != STREAM || is_capturing) return CUDA_ERROR_INVALID_VALUE;
    const Operation *recorded = (const Operation *)executable;
    for (size_t i = 0; i < recorded[MAX_OPERATIONS].size; i++) put(recorded[i]);
    fake_launches++;
    return CUDA_SUCCESS;
}
CUresult CUDAAPI cuEventCreate(CUevent *event, unsigned int flags) {
    return (void)flags, *event = (CUevent)(uintptr_t)++event_count, CUDA_SUCCESS;
}
CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) {
    return event && stream == STREAM && !is_capturing ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuEventSynchronize(CUevent event) {
    return event ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuEventElapsedTime(float *ms, CUevent start, CUevent stop) {
    return *ms = 2.5f, start != stop ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult CUDAAPI cuEventDestroy(CUevent event) { return (void)event, CUDA_SUCCESS; }
CUresult CUDAAPI cuGetErrorString(CUresult error, const char **text) {
    return *text = (int)error == 100 ? "no CUDA-capable device is detected" : "fake error",
           CUDA_SUCCESS;
}

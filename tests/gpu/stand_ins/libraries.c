/* CUDA's libraries that compute nothing: cuBLAS, cuBLASLt, cuDNN, and of cuRAND nothing at all. What
 * is not here does nothing, too: the test writes it by the names that the provider asks for. */
#include <string.h>

/* What the CUDA provider takes of the driver besides what we do. */
int cuTensorMapEncodeTiled(void) { return 0; }

int cublasGetMathMode(void *handle, int *mode) { return (void)handle, *mode = 0, 0; }
const char *cublasGetStatusName(int status) { return status ? "an error" : "no error"; }
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

/* One way is found. */
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *of, void *a, void *b, void *c, void *d,
                                   void *preference, int wanted, void *results, int *found) {
    (void)handle, (void)of, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted;
    return (void)results, *found = 1, 0;
}

size_t cudnnGetVersion(void) { return 91900; }
const char *cudnnGetErrorString(int status) { return status ? "an error" : "no error"; }
void cudnnGetLastErrorString(char *text, size_t size) { strncpy(text, "", size); }

/* Of whatever is asked there is one, and it is 0; a descriptor (15) is left as it is. */
int cudnnBackendGetAttribute(void *descriptor, int attribute, int type, long long wanted,
                             long long *count, void *values) {
    (void)descriptor, (void)attribute;
    if (count) *count = 1;
    if (values && wanted > 0 && type != 15) *(long long *)values = 0;
    return 0;
}
int cudnnBackendCreateDescriptor(void) { return 0; }

/* cuBLAS that computes nothing. */
#define DOES_NOTHING(name) int name(void) { return 0; }
#define MAKES(name) int name(void **made) { return *made = (void *)1, 0; }

int cublasGetMathMode(void *handle, int *mode) { return (void)handle, *mode = 0, 0; }
const char *cublasGetStatusName(int status) { return status ? "an error" : "no error"; }
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

MAKES(cublasCreate_v2)

DOES_NOTHING(cublasDestroy_v2) DOES_NOTHING(cublasDgeam) DOES_NOTHING(cublasDgemmBatched)
DOES_NOTHING(cublasDgemmStridedBatched) DOES_NOTHING(cublasDgemm_v2)
DOES_NOTHING(cublasDgetrfBatched) DOES_NOTHING(cublasDgetriBatched)
DOES_NOTHING(cublasGemmBatchedEx) DOES_NOTHING(cublasGemmEx)
DOES_NOTHING(cublasGemmStridedBatchedEx) DOES_NOTHING(cublasScopy_v2)
DOES_NOTHING(cublasSetMathMode) DOES_NOTHING(cublasSetStream_v2) DOES_NOTHING(cublasSgeam)
DOES_NOTHING(cublasSgemmBatched) DOES_NOTHING(cublasSgemmStridedBatched)
DOES_NOTHING(cublasSgemm_v2) DOES_NOTHING(cublasSgetrfBatched) DOES_NOTHING(cublasSgetriBatched)
DOES_NOTHING(cublasSscal_v2)

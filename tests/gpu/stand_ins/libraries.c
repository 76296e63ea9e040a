/* CUDA's libraries that compute nothing: cuBLAS, cuBLASLt, cuDNN, and of cuRAND nothing at all. */
#include <string.h>

#define DOES_NOTHING(name) int name(void) { return 0; }
#define MAKES(name) int name(void **made) { return *made = (void *)1, 0; }

/* What the CUDA provider takes of the driver besides what we do. */
DOES_NOTHING(cuTensorMapEncodeTiled)

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

/* One way is found. */
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *of, void *a, void *b, void *c, void *d,
                                   void *preference, int wanted, void *results, int *found) {
    (void)handle, (void)of, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted;
    return (void)results, *found = 1, 0;
}

MAKES(cublasLtCreate) MAKES(cublasLtMatmulDescCreate) MAKES(cublasLtMatmulPreferenceCreate)
MAKES(cublasLtMatrixLayoutCreate) MAKES(cublasLtMatrixTransformDescCreate)

DOES_NOTHING(cublasLtDestroy) DOES_NOTHING(cublasLtMatmul)
DOES_NOTHING(cublasLtMatmulAlgoConfigSetAttribute) DOES_NOTHING(cublasLtMatmulAlgoInit)
DOES_NOTHING(cublasLtMatmulDescDestroy) DOES_NOTHING(cublasLtMatmulDescSetAttribute)
DOES_NOTHING(cublasLtMatmulPreferenceDestroy) DOES_NOTHING(cublasLtMatmulPreferenceSetAttribute)
DOES_NOTHING(cublasLtMatrixLayoutDestroy) DOES_NOTHING(cublasLtMatrixLayoutSetAttribute)
DOES_NOTHING(cublasLtMatrixTransform) DOES_NOTHING(cublasLtMatrixTransformDescDestroy)

/* Entry points of cuDNN are looked for by name, so that what a newer provider wants besides is found
 * missing when it is called. */
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
DOES_NOTHING(cudnnBackendCreateDescriptor)
DOES_NOTHING(cudnnBackendDestroyDescriptor)

MAKES(cudnnCreate) MAKES(cudnnCreateActivationDescriptor) MAKES(cudnnCreateConvolutionDescriptor)
MAKES(cudnnCreateDropoutDescriptor) MAKES(cudnnCreateFilterDescriptor)
MAKES(cudnnCreateLRNDescriptor) MAKES(cudnnCreatePoolingDescriptor)
MAKES(cudnnCreateRNNDataDescriptor) MAKES(cudnnCreateRNNDescriptor)
MAKES(cudnnCreateReduceTensorDescriptor) MAKES(cudnnCreateTensorDescriptor)

DOES_NOTHING(cudnnActivationForward) DOES_NOTHING(cudnnAddTensor)
DOES_NOTHING(cudnnBackendExecute) DOES_NOTHING(cudnnBackendFinalize)
DOES_NOTHING(cudnnBackendSetAttribute) DOES_NOTHING(cudnnBatchNormalizationForwardInference)
DOES_NOTHING(cudnnBatchNormalizationForwardTraining)
DOES_NOTHING(cudnnConvolutionBiasActivationForward) DOES_NOTHING(cudnnConvolutionForward)
DOES_NOTHING(cudnnDeriveBNTensorDescriptor) DOES_NOTHING(cudnnDestroy)
DOES_NOTHING(cudnnDestroyActivationDescriptor) DOES_NOTHING(cudnnDestroyConvolutionDescriptor)
DOES_NOTHING(cudnnDestroyDropoutDescriptor) DOES_NOTHING(cudnnDestroyFilterDescriptor)
DOES_NOTHING(cudnnDestroyLRNDescriptor) DOES_NOTHING(cudnnDestroyPoolingDescriptor)
DOES_NOTHING(cudnnDestroyRNNDataDescriptor) DOES_NOTHING(cudnnDestroyRNNDescriptor)
DOES_NOTHING(cudnnDestroyReduceTensorDescriptor) DOES_NOTHING(cudnnDestroyTensorDescriptor)
DOES_NOTHING(cudnnDropoutGetStatesSize) DOES_NOTHING(cudnnFindConvolutionForwardAlgorithmEx)
DOES_NOTHING(cudnnGetConvolutionForwardAlgorithm_v7)
DOES_NOTHING(cudnnGetConvolutionForwardWorkspaceSize) DOES_NOTHING(cudnnGetRNNTempSpaceSizes)
DOES_NOTHING(cudnnGetRNNWeightParams) DOES_NOTHING(cudnnGetReductionIndicesSize)
DOES_NOTHING(cudnnGetReductionWorkspaceSize) DOES_NOTHING(cudnnGetStream)
DOES_NOTHING(cudnnGetTensorNdDescriptor) DOES_NOTHING(cudnnLRNCrossChannelForward)
DOES_NOTHING(cudnnPoolingForward) DOES_NOTHING(cudnnRNNForward) DOES_NOTHING(cudnnReduceTensor)
DOES_NOTHING(cudnnSetActivationDescriptor) DOES_NOTHING(cudnnSetConvolutionGroupCount)
DOES_NOTHING(cudnnSetConvolutionMathType) DOES_NOTHING(cudnnSetConvolutionNdDescriptor)
DOES_NOTHING(cudnnSetDropoutDescriptor) DOES_NOTHING(cudnnSetFilterNdDescriptor)
DOES_NOTHING(cudnnSetLRNDescriptor) DOES_NOTHING(cudnnSetPoolingNdDescriptor)
DOES_NOTHING(cudnnSetRNNDataDescriptor) DOES_NOTHING(cudnnSetRNNDescriptor_v8)
DOES_NOTHING(cudnnSetReduceTensorDescriptor) DOES_NOTHING(cudnnSetStream)
DOES_NOTHING(cudnnSetTensorNdDescriptor) DOES_NOTHING(cudnnSoftmaxForward)

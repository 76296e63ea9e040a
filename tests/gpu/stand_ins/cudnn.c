/* cuDNN that computes nothing. Its entry points are looked for by name, so that what a newer provider
 * wants besides is found missing when it is called. */
#include <string.h>

#define DOES_NOTHING(name) int name(void) { return 0; }
#define MAKES(name) int name(void **made) { return *made = (void *)1, 0; }

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

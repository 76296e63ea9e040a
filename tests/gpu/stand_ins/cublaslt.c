/* cuBLASLt that computes nothing. */
#define DOES_NOTHING(name) int name(void) { return 0; }
#define MAKES(name) int name(void **made) { return *made = (void *)1, 0; }

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

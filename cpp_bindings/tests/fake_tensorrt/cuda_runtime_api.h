/* As much of CUDA's header as TensorRT's needs. */
#pragma once

typedef struct CUstream_st *cudaStream_t;

/* What the CUDA provider takes of the driver besides what we do. */
int cuTensorMapEncodeTiled(void) { return 0; }

/* What a .rknn file says of itself, as far as the emulated device needs it. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>

#define MOST_OUTPUTS 24

typedef struct {
    char name[256];
    uint32_t n_dims, dims[4]; /* as in the file: NCHW */
    uint32_t elements;
} tensor;

typedef struct {
    tensor input; /* (batch, 3, height, width) */
    tensor outputs[MOST_OUTPUTS];
    uint32_t n_outputs;
    char platform[32]; /* "rk3588" */
    double latency_ms;
} model;

/* Read a file's tail. NULL when it is understood, else why not. */
const char *model_read(model *out, const uint8_t *file, size_t size);

#endif

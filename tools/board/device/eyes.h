/* What the emulated device sees. */
#ifndef EYES_H
#define EYES_H

#include "model.h"

/* int8 tensors and what makes floats of them: scale * (value - zero). */
typedef struct {
    int8_t *values[MOST_OUTPUTS];
    float scale[MOST_OUTPUTS];
    int32_t zero[MOST_OUTPUTS];
} tensors;

int eyes_open(tensors *out, const model *of);
void eyes_close(tensors *out);

/* Fill the tensors for one image, uint8 (height, width, 3). */
void eyes_look(tensors *out, const model *of, const uint8_t *pixels);

#endif

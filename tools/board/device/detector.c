/* A target is a filled rectangle in one of six colours, given as the model's first, second and
 * third channel; its class is the colour's number:
 *
 *     0 (255, 0, 255)   1 (0, 255, 0)   2 (255, 0, 0)   3 (0, 0, 255)   4 (255, 255, 0)   5 (0, 255, 255)
 *
 * Swapped channels leave the first two and change the others into each other. A pixel is of a colour
 * when each channel is within TOLERANCE, so that an edge blurred by resizing or by a video's codec
 * is cut near its middle. Pixels of a colour that touch are one target; it must have LEAST pixels and
 * fill half of its bounding box.
 *
 * Targets are answered in the vendor's YOLOv8 layout, any number of grids, on each a tensor of 64
 * channels (the distances to the box's left, top, right and bottom, each a distribution over 16 bins of
 * one stride), one of the classes' scores, and perhaps one of their clipped sum. The cell under the
 * box's middle, on the finest grid whose bins reach the edges, gets the score 0.9. Outputs in any
 * other layout stay zero.
 */
#include "eyes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLORS 6
#define TOLERANCE 70
#define LEAST 12
#define BINS 16
#define BOX_CHANNELS (4 * BINS)
#define BOX_SCALE 0.1f
#define SURE 10.0f /* logit of a distribution's heavier bin */
#define SCORE 0.9f
#define MOST_RUNS 65536

typedef struct {
    int x1, x2, y, color, parent;
    int left, top, right, bottom, area;
} run; /* pixels [x1, x2) of a row; the second line is of the whole target, in its root */

int eyes_open(tensors *out, const model *of)
{
    for (uint32_t i = 0; i < of->n_outputs; i++) {
        const tensor *t = &of->outputs[i];
        int box = t->n_dims == 4 && t->dims[1] == BOX_CHANNELS;
        out->scale[i] = box ? BOX_SCALE : 1.0f / 255.0f;
        out->zero[i] = box ? 0 : -128;
        out->values[i] = malloc(t->elements);
        if (!out->values[i])
            return 0;
    }
    return 1;
}

void eyes_close(tensors *out)
{
    for (int i = 0; i < MOST_OUTPUTS; i++)
        free(out->values[i]);
}

static int color_of(const uint8_t *pixel)
{
    /* By bits 4, 2, 1 for a high first, second, third channel. */
    static const int8_t number[8] = {-1, 3, 1, 5, 2, 0, 4, -1};
    int bits = 0;
    for (int c = 0; c < 3; c++) {
        if (pixel[c] >= 255 - TOLERANCE)
            bits |= 4 >> c;
        else if (pixel[c] > TOLERANCE)
            return -1;
    }
    return number[bits];
}

static int root(run *runs, int i)
{
    while (runs[i].parent != i)
        i = runs[i].parent = runs[runs[i].parent].parent;
    return i;
}

static void join(run *runs, int a, int b)
{
    a = root(runs, a);
    b = root(runs, b);
    if (a == b)
        return;
    run *to = &runs[a], *from = &runs[b];
    from->parent = a;
    to->left = from->left < to->left ? from->left : to->left;
    to->top = from->top < to->top ? from->top : to->top;
    to->right = from->right > to->right ? from->right : to->right;
    to->bottom = from->bottom > to->bottom ? from->bottom : to->bottom;
    to->area += from->area;
}

static int find_runs(run *runs, const uint8_t *pixels, int width, int height)
{
    int count = 0, above = 0;
    for (int y = 0; y < height; y++) {
        int first = count;
        for (int x = 0; x < width;) {
            const uint8_t *row = pixels + 3 * (size_t)width * (size_t)y;
            int color = color_of(row + 3 * x), start = x++;
            if (color < 0)
                continue;
            while (x < width && color_of(row + 3 * x) == color)
                x++;
            if (count == MOST_RUNS)
                return count;
            runs[count] = (run){start, x, y, color, count, start, y, x, y + 1, x - start};
            for (int i = above; i < first; i++)
                if (runs[i].color == color && runs[i].x1 < x && runs[i].x2 > start)
                    join(runs, i, count);
            count++;
        }
        above = first;
    }
    return count;
}

/* A distance in strides as a distribution over the bins, for one cell. */
static void write_side(int8_t *bins, size_t step, float distance)
{
    float d = fminf(fmaxf(distance, 0.0f), BINS - 1.001f);
    int low = (int)d;
    float weight[2] = {1.0f - (d - (float)low), d - (float)low};
    for (int bin = 0; bin < BINS; bin++)
        bins[(size_t)bin * step] = -128;
    for (int i = 0; i < 2; i++) {
        float logit = SURE + logf(fmaxf(weight[i], 1e-9f) / fmaxf(weight[0], weight[1]));
        bins[(size_t)(low + i) * step] = (int8_t)fmaxf(roundf(logit / BOX_SCALE), -128.0f);
    }
}

/* Answer one target on the grid whose box tensor is output `box`. */
static void write_target(tensors *out, const model *of, uint32_t box, const run *target)
{
    const tensor *t = &of->outputs[box];
    uint32_t rows = t->dims[2], columns = t->dims[3];
    float stride = (float)of->input.dims[3] / (float)columns;
    float x = (float)(target->left + target->right) / 2 / stride;
    float y = (float)(target->top + target->bottom) / 2 / stride;
    uint32_t column = (uint32_t)x, row = (uint32_t)y;
    size_t cells = (size_t)rows * columns, cell = (size_t)row * columns + column;
    float cx = (float)column + 0.5f, cy = (float)row + 0.5f;
    float distances[4] = {cx - (float)target->left / stride, cy - (float)target->top / stride,
                          (float)target->right / stride - cx, (float)target->bottom / stride - cy};
    for (int side = 0; side < 4; side++)
        write_side(out->values[box] + (size_t)(side * BINS) * cells + cell, cells, distances[side]);
    int8_t score = (int8_t)(roundf(SCORE * 255.0f) - 128.0f);
    out->values[box + 1][(size_t)target->color * cells + cell] = score;
    if (box + 2 < of->n_outputs && of->outputs[box + 2].dims[1] == 1
        && of->outputs[box + 2].dims[2] == rows)
        out->values[box + 2][cell] = score;
}

/* The finest grid whose bins reach from a cell under the middle to all edges. -1: there is none. */
static int grid_for(const model *of, const run *target)
{
    int best = -1, width = target->right - target->left, height = target->bottom - target->top;
    uint32_t finest = 0;
    for (uint32_t i = 0; i + 1 < of->n_outputs; i++) {
        const tensor *t = &of->outputs[i];
        if (t->n_dims != 4 || t->dims[1] != BOX_CHANNELS || of->outputs[i + 1].n_dims != 4
            || of->outputs[i + 1].dims[2] != t->dims[2])
            continue;
        if ((uint32_t)target->color >= of->outputs[i + 1].dims[1])
            continue;
        float stride = (float)of->input.dims[3] / (float)t->dims[3];
        float reach = (2 * BINS - 3) * stride;
        if ((float)width <= reach && (float)height <= reach && t->dims[3] > finest) {
            finest = t->dims[3];
            best = (int)i;
        }
    }
    return best;
}

void eyes_look(tensors *out, const model *of, const uint8_t *pixels)
{
    int height = (int)of->input.dims[2], width = (int)of->input.dims[3];
    for (uint32_t i = 0; i < of->n_outputs; i++)
        memset(out->values[i], out->zero[i], of->outputs[i].elements);
    run *runs = malloc(sizeof(run) * MOST_RUNS);
    if (!runs)
        return;
    int count = find_runs(runs, pixels, width, height);
    for (int i = 0; i < count; i++) {
        const run *target = &runs[i];
        int box = (target->right - target->left) * (target->bottom - target->top);
        if (target->parent != i || target->area < LEAST || 2 * target->area < box)
            continue;
        int grid = grid_for(of, target);
        if (grid >= 0)
            write_target(out, of, (uint32_t)grid, target);
    }
    free(runs);
}

/* An emulated librknnrt.so: what the vendor's Python package calls, answered by an NPU that takes
 * time (npu.c), sees coloured targets (detector.c) and fails when it is told to.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eyes.h"
#include "npu.h"
#include "rknn_api.h"

#define EXPORT __attribute__((visibility("default")))
#define DEVICE "/dev/dri/renderD129"
#define API_VERSION "2.3.2 (emulated)"
#define DRIVER_VERSION "0.9.8"

typedef struct {
    model model;
    tensors tensors;
    uint8_t *image;
    int given, ran;
    uint32_t mask;
    int core; /* the one core of the mask, or AUTO */
} context;

static void destroy(context *c)
{
    eyes_close(&c->tensors);
    free(c->image);
    free(c);
}

EXPORT int rknn_init(rknn_context *out, void *file, uint32_t size, uint32_t flags, void *extend)
{
    (void)flags;
    (void)extend;
    int code = npu_script(0, AUTO, "init");
    if (code)
        return code;
    if (access(DEVICE, R_OK | W_OK) != 0) {
        npu_log('E', "failed to open rknpu module, need to insmod rknpu dirver!");
        return RKNN_ERR_FAIL;
    }
    context *c = calloc(1, sizeof *c);
    const char *problem = c ? model_read(&c->model, file, size) : "Out of memory";
    if (problem) {
        npu_log('E', "rknn_init, %s!", problem);
        free(c);
        return RKNN_ERR_MODEL_INVALID;
    }
    if (strcmp(c->model.platform, npu_chip()) != 0) {
        npu_log('E', "rknn_init, the target platform of the model is %s, but this is %s!",
                c->model.platform, npu_chip());
        free(c);
        return RKNN_ERR_TARGET_PLATFORM_UNMATCH;
    }
    c->image = malloc(c->model.input.elements);
    if (!c->image || !eyes_open(&c->tensors, &c->model)) {
        destroy(c);
        return RKNN_ERR_FAIL;
    }
    c->mask = 0xffff;
    c->core = AUTO;
    *out = (rknn_context)(uintptr_t)c;
    npu_log('I', "RKNN Runtime Information, librknnrt version: " API_VERSION);
    npu_log('I', "RKNN Driver Information, version: " DRIVER_VERSION);
    npu_record(*out, AUTO, "init", "%u", size);
    return RKNN_SUCC;
}

EXPORT int rknn_set_core_mask(rknn_context handle, int mask)
{
    context *c = (context *)(uintptr_t)handle;
    int code = npu_script(handle, AUTO, "set_core_mask");
    if (code)
        return code;
    int all = (1 << npu_cores()) - 1, batch = (int)c->model.input.dims[0];
    int apart = mask == 5 || mask == 6; /* cores that are not neighbours from the first on */
    if (mask != 0xffff && (mask < 0 || mask > all || apart)) {
        npu_log('E', "core mask = %d is invalid on %s", mask, npu_chip());
        return RKNN_ERR_PARAM_INVALID;
    }
    int single = mask == 1 || mask == 2 || mask == 4;
    if (single && batch > 1) {
        npu_log('W', "core mask = %d is invalid for batch size: %d, fall back to CORE_AUTO mode",
                mask, batch);
        mask = 0;
        single = 0;
    }
    c->mask = mask ? (uint32_t)mask : 0xffff;
    c->core = single ? __builtin_ctz((unsigned)mask) : AUTO;
    npu_record(handle, c->core, "set_core_mask", "%d", mask);
    return RKNN_SUCC;
}

static void describe_input(rknn_tensor_attr *attr, const tensor *t)
{
    attr->n_dims = 4;
    attr->dims[0] = t->dims[0];
    attr->dims[1] = t->dims[2];
    attr->dims[2] = t->dims[3];
    attr->dims[3] = t->dims[1];
    attr->fmt = RKNN_TENSOR_NHWC;
    attr->zp = -128;
    attr->scale = 1.0f / 255.0f;
    attr->w_stride = t->dims[3];
}

static int describe(const context *c, rknn_tensor_attr *attr, int output)
{
    uint32_t index = attr->index;
    if (index >= (output ? c->model.n_outputs : 1))
        return RKNN_ERR_PARAM_INVALID;
    const tensor *t = output ? &c->model.outputs[index] : &c->model.input;
    memset(attr, 0, sizeof *attr);
    attr->index = index;
    memcpy(attr->name, t->name, sizeof attr->name);
    attr->n_elems = attr->size = attr->size_with_stride = t->elements;
    attr->type = RKNN_TENSOR_INT8;
    attr->qnt_type = RKNN_QNT_AFFINE;
    if (!output) {
        describe_input(attr, t);
        return RKNN_SUCC;
    }
    attr->n_dims = t->n_dims;
    memcpy(attr->dims, t->dims, sizeof t->dims);
    attr->fmt = RKNN_TENSOR_NCHW;
    attr->zp = c->tensors.zero[index];
    attr->scale = c->tensors.scale[index];
    return RKNN_SUCC;
}

EXPORT int rknn_query(rknn_context handle, int what, void *info, uint32_t size)
{
    const context *c = (const context *)(uintptr_t)handle;
    if (what == RKNN_QUERY_IN_OUT_NUM && size >= sizeof(rknn_input_output_num)) {
        *(rknn_input_output_num *)info = (rknn_input_output_num){1, c->model.n_outputs};
        return RKNN_SUCC;
    }
    if ((what == RKNN_QUERY_INPUT_ATTR || what == RKNN_QUERY_OUTPUT_ATTR)
        && size >= sizeof(rknn_tensor_attr))
        return describe(c, info, what == RKNN_QUERY_OUTPUT_ATTR);
    if (what == RKNN_QUERY_SDK_VERSION && size >= sizeof(rknn_sdk_version)) {
        rknn_sdk_version *version = info;
        memset(version, 0, sizeof *version);
        strcpy(version->api_version, API_VERSION);
        strcpy(version->drv_version, DRIVER_VERSION);
        return RKNN_SUCC;
    }
    return RKNN_ERR_PARAM_INVALID;
}

EXPORT int rknn_inputs_set(rknn_context handle, uint32_t count, rknn_input *inputs)
{
    context *c = (context *)(uintptr_t)handle;
    int code = npu_script(handle, c->core, "inputs_set");
    if (code)
        return code;
    const rknn_input *in = inputs;
    if (count != 1 || in->size != c->model.input.elements || in->type != RKNN_TENSOR_UINT8
        || in->fmt != RKNN_TENSOR_NHWC || in->pass_through) {
        npu_log('E', "rknn_inputs_set: the emulator takes one uint8 NHWC image of %u bytes",
                c->model.input.elements);
        return RKNN_ERR_INPUT_INVALID;
    }
    memcpy(c->image, in->buf, in->size);
    c->given = 1;
    npu_record(handle, c->core, "inputs_set", "%u", in->size);
    return RKNN_SUCC;
}

EXPORT int rknn_run(rknn_context handle, void *extend)
{
    (void)extend;
    context *c = (context *)(uintptr_t)handle;
    if (!c->given)
        return RKNN_ERR_INPUT_INVALID;
    int64_t begin, end;
    int code = npu_script(handle, c->core, "run");
    if (code) {
        npu_log('E', "failed to submit!, op id: 1, op name: Conv:emulated");
        return code;
    }
    int core = npu_take(handle, c->mask, (int64_t)(c->model.latency_ms * 1e6), &begin, &end);
    eyes_look(&c->tensors, &c->model, c->image);
    npu_sleep_until(end);
    c->ran = 1;
    npu_record(handle, core, "ran", "%d", RKNN_SUCC);
    return RKNN_SUCC;
}

/* int8 to float32, through a table of the 256 values that there are. */
static void convert(float *to, const tensors *from, uint32_t index, uint32_t elements)
{
    float table[256];
    for (int value = -128; value < 128; value++)
        table[(uint8_t)value] = from->scale[index] * (float)(value - from->zero[index]);
    for (uint32_t i = 0; i < elements; i++)
        to[i] = table[(uint8_t)from->values[index][i]];
}

EXPORT int rknn_outputs_get(rknn_context handle, uint32_t count, rknn_output *outputs, void *extend)
{
    (void)extend;
    context *c = (context *)(uintptr_t)handle;
    int code = npu_script(handle, c->core, "outputs_get");
    if (code)
        return code;
    if (!c->ran || count != c->model.n_outputs)
        return RKNN_ERR_OUTPUT_INVALID;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t elements = c->model.outputs[i].elements;
        uint32_t size = outputs[i].want_float ? elements * (uint32_t)sizeof(float) : elements;
        outputs[i].index = i;
        if (!outputs[i].is_prealloc)
            outputs[i].buf = malloc(size);
        else if (outputs[i].size < size)
            return RKNN_ERR_OUTPUT_INVALID;
        outputs[i].size = size;
        if (!outputs[i].buf)
            return RKNN_ERR_FAIL;
        if (outputs[i].want_float)
            convert(outputs[i].buf, &c->tensors, i, elements);
        else
            memcpy(outputs[i].buf, c->tensors.values[i], elements);
    }
    npu_record(handle, c->core, "outputs_get", "%u", count);
    return RKNN_SUCC;
}

EXPORT int rknn_outputs_release(rknn_context handle, uint32_t count, rknn_output *outputs)
{
    (void)handle;
    for (uint32_t i = 0; i < count; i++) {
        if (!outputs[i].is_prealloc) {
            free(outputs[i].buf);
            outputs[i].buf = NULL;
        }
    }
    return RKNN_SUCC;
}

EXPORT int rknn_destroy(rknn_context handle)
{
    context *c = (context *)(uintptr_t)handle;
    npu_record(handle, c->core, "destroy", "%d", RKNN_SUCC);
    destroy(c);
    return RKNN_SUCC;
}

/* The package looks whether this exists. Models here have one shape. */
EXPORT int rknn_set_input_shapes(rknn_context handle, uint32_t count, rknn_tensor_attr *shapes)
{
    (void)handle;
    (void)count;
    (void)shapes;
    return RKNN_ERR_PARAM_INVALID;
}
